//! The refusals that users meet most, in ansible-core's words. The differential test compares all the others.

use ansible_module::validate::validate;
use ansible_module::{Kind, Opt, Relations, RequiredIf};
use serde_json::{Value, json};

const OPTIONS: &[Opt] = &[
    Opt::new("name", Kind::Str, &[]).required().aliases(&["nm"]),
    Opt::new("state", Kind::Str, &[]).choices(&["present", "absent"]).default_text("present"),
    Opt::new("timeout", Kind::Int, &[]).default("60"),
    Opt::new("force", Kind::Bool, &[]),
    Opt::new("ids", Kind::List, &[]).elements(Kind::Int),
    Opt::new("key", Kind::Str, &[]).no_log(),
    Opt::new("owner", Kind::Str, &[]),
    Opt::new("links", Kind::List, &[]).elements(Kind::Dict).options(&[
        Opt::new("address", Kind::Str, &[]).required().aliases(&["addr"]),
        Opt::new("priority", Kind::Int, &[]),
    ]),
];

const RELATIONS: Relations = Relations {
    mutually_exclusive: &[&["force", "ids"]],
    required_together: &[&["force", "key"]],
    required_one_of: &[],
    required_if: &[RequiredIf { option: "state", value: "absent", requires: &["ids"], any: false }],
    required_by: &[("links", &["owner"])],
};

fn refusal(params: &Value) -> String {
    let checked = validate(OPTIONS, &RELATIONS, params.as_object().cloned().expect("an object"));
    checked.problems.first().map_or_else(String::new, |problem| problem.msg.clone())
}

#[test]
fn refusals_have_ansibles_words() {
    for (params, msg) in [
        (json!({"name": "a"}), ""),
        (json!({}), "missing required arguments: name"),
        (json!({"name": "a", "state": "gone"}), "value of state must be one of: present, absent, got: gone"),
        (
            json!({"name": "a", "timeout": "1m"}),
            "argument 'timeout' is of type str and we were unable to convert to int: \"'1m'\" cannot be converted to an int",
        ),
        (
            json!({"name": "a", "ids": [1, "x", 2]}),
            "Elements value for option 'ids' is of type str and we were unable to convert to int: \"'x'\" cannot be converted to an int",
        ),
        (
            json!({"name": "a", "key": "k", "force": true, "ids": "1,2"}),
            "parameters are mutually exclusive: force|ids",
        ),
        (json!({"name": "a", "force": "yes"}), "parameters are required together: force, key"),
        (
            json!({"name": "a", "state": "absent"}),
            "state is absent but all of the following are missing: ids",
        ),
        (
            json!({"name": "a", "links": [{"address": "x"}]}),
            "missing parameter(s) required by 'links': owner",
        ),
        (
            json!({"name": "a", "owner": "o", "links": [{"address": "x"}, {"priority": 1}]}),
            "missing required arguments: address found in links",
        ),
        (
            json!({"name": "a", "owner": "o", "links": [{"address": "x", "priority": [1]}]}),
            "argument 'priority' is of type list found in 'links'. and we were unable to convert to int: \"[1]\" cannot be converted to an int",
        ),
        (
            json!({"name": "a", "owner": "o", "links": [{"address": "x", "prio": 1}]}),
            "links.prio. Supported parameters include: address, priority (addr).",
        ),
        (
            json!({"nam": "a", "name": "a"}),
            "nam. Supported parameters include: force, ids, key, links, name, owner, state, timeout (nm).",
        ),
    ] {
        assert_eq!(refusal(&params), msg, "{params}");
    }
}

#[test]
fn an_alias_beside_its_option_warns_and_wins() {
    let params = json!({"name": "a", "nm": "b", "owner": "o", "links": [{"address": "x", "addr": "y"}]});
    let checked = validate(OPTIONS, &RELATIONS, params.as_object().cloned().expect("an object"));
    assert_eq!(checked.problems, []);
    assert_eq!(checked.params["name"], "b");
    assert_eq!(
        checked.warnings,
        [
            "Both option links[0].address and its alias links[0].addr are set.",
            "Both option name and its alias nm are set.",
        ]
    );
}
