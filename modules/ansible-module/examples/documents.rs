//! Prints the documentation file of a table that uses everything a table can say, for the documentation tools.

use ansible_module::{Attribute, Kind, Opt, Relations, RequiredIf, Ret, SeeAlso, Spec, Support, docs};

static SPEC: Spec = Spec {
    options: &[
        Opt::new("name", Kind::Str, &["The name.", "A colon: it is quoted, and so is V(yes)."])
            .required()
            .aliases(&["nm"]),
        Opt::new("state", Kind::Str, &["Whether the thing shall be there."])
            .choices(&["present", "absent"])
            .default_text("present"),
        Opt::new("count", Kind::Int, &["How many."]).choices(&["1", "2"]).default("1"),
        Opt::new("force", Kind::Bool, &["Even if O(state=absent)."]).default("false"),
        Opt::new("ratio", Kind::Float, &["A ratio."]).default("1.5"),
        Opt::new("password", Kind::Str, &["A secret, with \"quotes\" and a \\ backslash."]).no_log(),
        Opt::new("size", Kind::Bytes, &["A size."]).version_added("0.2.0"),
        Opt::new("raw", Kind::Raw, &["Anything."]),
        Opt::new("json", Kind::Json, &["JSON."]),
        Opt::new("bits", Kind::Bits, &["Bits."]),
        Opt::new("dest", Kind::Path, &["A path."]).default_text("~/file"),
        Opt::new("labels", Kind::List, &["Labels."]).elements(Kind::Str).default("[]"),
        Opt::new("limits", Kind::Dict, &["Limits."]).default("{}"),
        Opt::new("peers", Kind::List, &["Peers."]).elements(Kind::Dict).options(&[
            Opt::new("address", Kind::Str, &["Its address."]).required(),
            Opt::new("links", Kind::List, &["Its links."]).elements(Kind::Int),
        ]),
    ],
    relations: Relations {
        required_if: &[RequiredIf { option: "state", value: "present", requires: &["size"], any: false }],
        ..Relations::NONE
    },
    supports_check_mode: true,
    check_mode_details: &["Looks, and tells what it would do."],
    supports_diff: true,
    attributes: &[Attribute {
        name: "async",
        description: "Supports being used with the C(async) keyword.",
        support: Support::Full,
        details: &[],
    }],
    examples: "- name: Make the thing\n  example.test.documents:\n    name: \"a thing\"\n    peers:\n      - address: 192.0.2.1\n",
    returns: &[
        Ret::new("name", Kind::Str, &["The name."]).sample("\"a thing\""),
        Ret::new("peers", Kind::List, &["What was found."])
            .elements(Kind::Dict)
            .returned("success")
            .sample(r#"[{"address": "192.0.2.1", "links": [0, 1], "reached": true}]"#)
            .contains(&[
                Ret::new("address", Kind::Str, &["The address."]).sample("\"192.0.2.1\""),
                Ret::new("links", Kind::List, &["The links."]).elements(Kind::Int),
                Ret::new("reached", Kind::Bool, &["It answered."]),
            ]),
    ],
    notes: &["A note."],
    seealso: &[
        SeeAlso::Module("ansible.builtin.ping", ""),
        SeeAlso::Link("A page", "https://example.org", "Something to read."),
    ],
    requirements: &["Something >= 1.0"],
    author: &["Example Author (@example)"],
    ..Spec::new("documents", "Show what a table can say", &["Does nothing.", "Says so in C(two) paragraphs."])
};

fn main() {
    print!("{}", docs::module_py(&SPEC));
}
