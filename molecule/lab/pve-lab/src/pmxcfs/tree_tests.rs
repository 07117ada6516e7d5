//! The tree's rules, as measured on a genuine pmxcfs (golden 40).

use super::*;

const NOW: Stamp = Stamp { writer: 1, time: 1000 };

#[test]
fn a_file_beyond_one_mebibyte_is_refused() {
    let mut tree = Tree::default();
    let file = tree.create(ROOT, "f", NOW).unwrap();
    assert_eq!(tree.write(file, 0, &vec![0; MAX_FILE], NOW), Ok(()));
    assert_eq!(tree.write(file, MAX_FILE, &[0], NOW), Err(Errno::EFBIG));
    assert_eq!(tree.entry(file).unwrap().data.as_ref().unwrap().len(), MAX_FILE);
}

#[test]
fn a_non_empty_directory_is_neither_renamed_nor_removed() {
    let mut tree = Tree::default();
    let directory = tree.mkdir(ROOT, "d", NOW).unwrap();
    tree.create(directory, "f", NOW).unwrap();
    assert_eq!(tree.rename((ROOT, "d"), (ROOT, "e"), NOW), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.rmdir(ROOT, "d", NOW), Err(Errno::ENOTEMPTY));
}

#[test]
fn a_rename_replaces_the_target() {
    let mut tree = Tree::default();
    let old = tree.create(ROOT, "old", NOW).unwrap();
    tree.write(old, 0, b"old", NOW).unwrap();
    let new = tree.create(ROOT, "new", NOW).unwrap();
    tree.write(new, 0, b"new", NOW).unwrap();
    tree.rename((ROOT, "new"), (ROOT, "old"), NOW).unwrap();
    assert_eq!(tree.content("old"), Some(&b"new"[..]));
    assert!(tree.lookup("new").is_none());
}

#[test]
fn a_guest_number_exists_once_in_the_cluster_and_may_move() {
    let mut tree = Tree::default();
    let nodes = tree.mkdir(ROOT, "nodes", NOW).unwrap();
    let mut directories = Vec::new();
    for name in ["pve1", "pve2"] {
        let node = tree.mkdir(nodes, name, NOW).unwrap();
        directories.push(tree.mkdir(node, "qemu-server", NOW).unwrap());
    }
    tree.create(directories[0], "100.conf", NOW).unwrap();
    assert_eq!(tree.create(directories[1], "100.conf", NOW), Err(Errno::EEXIST));
    assert_eq!(tree.rename((directories[0], "100.conf"), (directories[1], "100.conf"), NOW), Ok(()));
    let guests: Vec<_> = tree.guests().map(|guest| (guest.id, guest.node)).collect();
    assert_eq!(guests, [(100, "pve2".to_owned())]);
}

#[test]
fn a_lock_goes_on_request_only_when_it_is_stale() {
    let mut tree = Tree::default();
    let private = tree.mkdir(ROOT, "priv", NOW).unwrap();
    let locks = tree.mkdir(private, "lock", NOW).unwrap();
    let lock = tree.mkdir(locks, "x", NOW).unwrap();
    let soon = Stamp { time: NOW.time + 60, ..NOW };
    let late = Stamp { time: NOW.time + 121, ..NOW };
    assert_eq!(tree.mkdir(locks, "x", soon), Err(Errno::EEXIST));
    assert_eq!(tree.set_mtime(lock, 0, soon), Err(Errno::EACCES));
    assert_eq!(tree.set_mtime(lock, 0, late), Ok(()));
    assert!(tree.lookup("priv/lock/x").is_none());
}
