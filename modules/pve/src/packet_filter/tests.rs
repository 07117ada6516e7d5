//! What rules as people write them do with corosync's packets.

use super::*;

fn packet(protocol: &'static str, port: u16) -> Packet {
    Packet { protocol, port, source: "10.88.0.12".parse().unwrap(), interface: Some("vmbr0".into()) }
}

fn saved(rules: &str) -> Filter {
    Filter { tables: vec![iptables::parse(rules, true)] }
}

#[test]
fn an_open_node_lets_everything_in() {
    assert_eq!(Filter::default().fate(&packet("udp", 5405)), Fate::Accepted);
    assert_eq!(saved("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n").fate(&packet("udp", 5405)), Fate::Accepted);
}

#[test]
fn iptables_rules_are_followed_into_their_chains() {
    // As iptables-save 1.8.11 writes them.
    let filter = saved(
        "*filter\n:INPUT DROP [0:0]\n:SDDC-PVE - [0:0]\n-A INPUT -j SDDC-PVE\n-A INPUT -i lo -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A SDDC-PVE -p tcp -m tcp --dport 22 -m comment --comment \"let them in\" -j ACCEPT\n\
         -A SDDC-PVE -p udp -m multiport --dports 5404,5405:5407 -j ACCEPT\n\
         -A SDDC-PVE -s 10.99.0.0/16 -p tcp -m tcp --dport 8006 -j ACCEPT\nCOMMIT\n",
    );
    assert_eq!(filter.fate(&packet("tcp", 22)), Fate::Accepted);
    assert_eq!(filter.fate(&packet("udp", 5406)), Fate::Accepted);
    assert_eq!(filter.fate(&packet("udp", 5408)), Fate::Dropped);
    assert_eq!(filter.fate(&packet("tcp", 5406)), Fate::Dropped);
    assert_eq!(filter.fate(&packet("tcp", 8006)), Fate::Dropped);
}

#[test]
fn a_rule_that_is_not_understood_leaves_it_open() {
    let with_set = "*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set PVEFW src -j ACCEPT\nCOMMIT\n";
    assert_eq!(saved(with_set).fate(&packet("tcp", 22)), Fate::Unknown);
    let then_drop = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m set --match-set PVEFW src -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n";
    assert_eq!(saved(then_drop).fate(&packet("tcp", 22)), Fate::Unknown);
    let limit = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent --update --seconds 60 -j DROP\nCOMMIT\n";
    assert_eq!(saved(limit).fate(&packet("tcp", 22)), Fate::Unknown);
    let negated = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT ! -s 10.99.0.0/16 -p udp -j DROP\nCOMMIT\n";
    assert_eq!(saved(negated).fate(&packet("udp", 5405)), Fate::Dropped);
}

#[test]
fn nft_rules_are_read_from_its_json() {
    // As nft 1.1.3 lists: table inet filter with policy drop, sets, ranges and a jump.
    let text = r#"{"nftables": [{"metainfo": {"version": "1.1.3"}}, {"table": {"family": "inet", "name": "filter"}},
      {"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
      {"chain": {"family": "inet", "table": "filter", "name": "cluster"}},
      {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [
        {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]}},
      {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, 8006]}}},
        {"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}},
      {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [{"jump": {"target": "cluster"}}]}},
      {"rule": {"family": "inet", "table": "filter", "chain": "cluster", "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.88.0.0", "len": 24}}}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": {"range": [5404, 5405]}}},
        {"accept": null}]}}]}"#;
    let filter = Filter { tables: nft::parse(text).unwrap() };
    assert_eq!(filter.fate(&packet("tcp", 8006)), Fate::Accepted);
    assert_eq!(filter.fate(&packet("udp", 5405)), Fate::Accepted);
    assert_eq!(filter.fate(&packet("udp", 5406)), Fate::Dropped);
    let stranger = Packet { source: "10.77.0.1".parse().unwrap(), ..packet("udp", 5405) };
    assert_eq!(filter.fate(&stranger), Fate::Dropped);
    assert!(nft::parse("no json").is_err());
}
