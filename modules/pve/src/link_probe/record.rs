//! Rows and listeners as JSON, for their way to the other nodes and back. Read field by field, and leniently: what is
//! not there is nothing. A reader of each type, as serde makes them, would weigh ten times as much in the binary.

use serde_json::{Value, json};

use super::{Corosync, Ear, Heard, Listener, Path, RoundTrip, Row, Silence};

impl Listener {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let ears = self.links.iter().map(|ear| {
            json!({"number": ear.number, "address": ear.address, "port": ear.port, "is_beside": ear.is_beside})
        });
        let heard = self
            .heard
            .iter()
            .map(|heard| json!({"node": heard.node, "link": heard.link, "count": heard.count}));
        let (ears, heard) = (ears.collect::<Value>(), heard.collect::<Value>());
        json!({"node": self.node, "links": ears, "heard": heard})
    }

    /// From JSON; nothing of what names no node.
    pub fn of_json(value: &Value) -> Option<Self> {
        let links = list(&value["links"], |ear| Ear {
            number: number(&ear["number"]) as u8,
            address: text(&ear["address"]),
            port: number(&ear["port"]) as u16,
            is_beside: ear["is_beside"] == true,
        });
        let heard = list(&value["heard"], |heard| Heard {
            node: text(&heard["node"]),
            link: number(&heard["link"]) as u8,
            count: number(&heard["count"]),
        });
        Some(Self { node: text(&value["node"]), links, heard }).filter(|listener| !listener.node.is_empty())
    }
}

impl Row {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let corosync = self.corosync.as_ref().map(|links| {
            let links = links.iter();
            links
                .map(|link| json!({"link": link.link, "connected": link.connected, "nodes": link.nodes}))
                .collect::<Value>()
        });
        let paths = self.paths.iter().map(Path::to_json).collect::<Value>();
        json!({"node": self.node, "paths": paths, "corosync": corosync})
    }

    /// From JSON; nothing of what names no node.
    pub fn of_json(value: &Value) -> Option<Self> {
        let corosync = value["corosync"].is_array().then(|| {
            list(&value["corosync"], |link| Corosync {
                link: number(&link["link"]) as u8,
                connected: number(&link["connected"]),
                nodes: number(&link["nodes"]),
            })
        });
        let paths = list(&value["paths"], Path::of_json);
        Some(Self { node: text(&value["node"]), paths, corosync }).filter(|row| !row.node.is_empty())
    }
}

impl Path {
    fn to_json(&self) -> Value {
        let round_trip = self.round_trip.map(|trip| {
            json!({"fastest": trip.fastest, "median": trip.median, "p99": trip.p99, "jitter": trip.jitter})
        });
        json!({
            "link": self.link, "to": self.to, "address": self.address, "port": self.port, "is_beside": self.is_beside,
            "sent": self.sent, "answered": self.answered, "loss": self.loss, "round_trip": round_trip,
            "path_mtu": self.path_mtu, "interface_mtu": self.interface_mtu,
            "silence": self.silence.map(Silence::word), "grade": self.grade.word(),
        })
    }

    /// The grade is judged anew by who reads it.
    fn of_json(value: &Value) -> Self {
        let trip = &value["round_trip"];
        let millis = |key: &str| trip[key].as_f64().unwrap_or(0.0);
        let round_trip = trip.is_object().then(|| RoundTrip {
            fastest: millis("fastest"),
            median: millis("median"),
            p99: millis("p99"),
            jitter: millis("jitter"),
        });
        let mtu = |key: &str| Some(number(&value[key])).filter(|mtu| *mtu > 0);
        let silence = Silence::ALL.into_iter().find(|silence| value["silence"] == silence.word());
        Self {
            link: number(&value["link"]) as u8,
            to: text(&value["to"]),
            address: text(&value["address"]),
            port: number(&value["port"]) as u16,
            is_beside: value["is_beside"] == true,
            sent: number(&value["sent"]),
            answered: number(&value["answered"]),
            loss: value["loss"].as_f64().unwrap_or(0.0),
            round_trip,
            path_mtu: mtu("path_mtu"),
            interface_mtu: mtu("interface_mtu"),
            silence,
            ..Self::default()
        }
    }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().into_iter().flatten().map(read).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| number.try_into().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let ear = Ear { number: 1, address: "fd00::1".into(), port: 5411, is_beside: true };
        let heard = Heard { node: "pve2".into(), link: 1, count: 7 };
        let listener = Listener { node: "pve1".into(), links: vec![ear], heard: vec![heard] };
        assert_eq!(Listener::of_json(&listener.to_json()), Some(listener));
        let trip = RoundTrip { fastest: 0.25, median: 1.0, p99: 2.5, jitter: 0.125 };
        let paths = Silence::ALL.into_iter().map(|silence| Path {
            link: 7,
            to: "pve2".into(),
            address: "10.0.0.1".into(),
            port: 5412,
            is_beside: true,
            sent: 20,
            answered: 19,
            loss: 5.0,
            round_trip: Some(trip),
            path_mtu: Some(1400),
            interface_mtu: None,
            silence: Some(silence),
            ..Path::default()
        });
        let corosync = Some(vec![Corosync { link: 0, connected: 1, nodes: 2 }]);
        let row = Row { node: "pve1".into(), paths: paths.collect(), corosync };
        assert_eq!(Row::of_json(&row.to_json()), Some(row));
    }

    #[test]
    fn what_is_no_record_is_nothing_or_empty() {
        for value in [Value::Null, json!([]), json!("pve1"), json!({"links": 7})] {
            assert_eq!((Listener::of_json(&value), Row::of_json(&value)), (None, None));
        }
        let odd = json!({"node": "pve1", "paths": [7, {"port": -1, "loss": "much", "silence": "odd"}], "corosync": 1});
        let row = Row::of_json(&odd).unwrap();
        assert_eq!((row.paths, row.corosync), (vec![Path::default(), Path::default()], None));
    }
}
