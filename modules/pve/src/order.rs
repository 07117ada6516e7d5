//! Sorting of short lists. The standard sorts are made for long ones: each use of them, for each type, weighs four
//! kilobytes of the binary that travels to the nodes, and a cluster has a few dozen of anything.

use std::cmp::Ordering;

/// Sorts a short list; what compares as equal keeps its order.
pub fn sort_short_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && compare(&items[at - 1], &items[at]) == Ordering::Greater {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// Sorts a short list by a key; items of one key keep their order.
pub fn sort_short_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_short_by(items, |a, b| key(a).cmp(&key(b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_in_order_and_equal_ones_keep_theirs() {
        let mut items = [(3, 'a'), (1, 'b'), (2, 'c'), (1, 'd'), (3, 'e'), (0, 'f')];
        sort_short_by_key(&mut items, |item| item.0);
        assert_eq!(items, [(0, 'f'), (1, 'b'), (1, 'd'), (2, 'c'), (3, 'a'), (3, 'e')]);
        sort_short_by(&mut items, |a, b| b.1.cmp(&a.1));
        assert_eq!(items.map(|item| item.1), ['f', 'e', 'd', 'c', 'b', 'a']);
        sort_short_by_key(&mut [0_u8; 0], |item| *item);
    }
}
