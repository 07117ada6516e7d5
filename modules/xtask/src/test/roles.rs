//! What a role's `defaults` and `argument_specs` owe each other. Pure: documents in, findings out.

use serde_json::Value;

/// The two documents of a role.
pub struct Role {
    /// `meta/argument_specs.yml`.
    pub specs: Value,
    /// `defaults/main.yml`.
    pub defaults: Value,
}

/// Names from the user's documents that stay as they are.
const USERS_NAMES: [&str; 1] = ["cluster_name"];

/// What is wrong with a role's variables.
pub fn check(role: &Role) -> Vec<String> {
    let mut findings = Vec::new();
    let options = &role.specs["argument_specs"]["main"]["options"];
    for (name, value) in role.defaults.as_object().into_iter().flatten() {
        if !name.starts_with("pve_") && !name.starts_with("__pve_") && !USERS_NAMES.contains(&name.as_str()) {
            findings.push(format!("{name} does not carry the prefix pve_"));
        }
        match &options[name] {
            Value::Null if name.starts_with("__pve_") => {}
            Value::Null => findings.push(format!("{name} has a default but is not in argument_specs.yml")),
            option => {
                let declared = &option["default"];
                // A default that is computed can't be declared as a value.
                let is_computed = value.as_str().is_some_and(|text| text.contains("{{"));
                if declared != value && !is_computed {
                    findings
                        .push(format!("{name} is {value} in defaults and {declared} in argument_specs.yml"));
                }
            }
        }
    }
    for (name, option) in options.as_object().into_iter().flatten() {
        if !option["default"].is_null() && role.defaults[name].is_null() {
            findings.push(format!("{name} is declared with a default that defaults/main.yml does not set"));
        }
        if option["description"].is_null() {
            findings.push(format!("{name} is declared without a description"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(options: Value, defaults: Value) -> Vec<String> {
        check(&Role { specs: json!({"argument_specs": {"main": {"options": options}}}), defaults })
    }

    #[test]
    fn agreeing_documents_have_no_finding() {
        let options = json!({"pve_a": {"description": "A.", "default": [1]}, "pve_b": {"description": "B."}});
        assert!(role(options, json!({"pve_a": [1], "__pve_c": 1})).is_empty());
    }

    #[test]
    fn each_disagreement_is_found() {
        let described = |default: Value| json!({"description": "A.", "default": default});
        assert_eq!(
            role(json!({}), json!({"pve_a": 1})),
            ["pve_a has a default but is not in argument_specs.yml"]
        );
        assert_eq!(
            role(json!({"pve_a": described(json!(2))}), json!({"pve_a": 1})),
            ["pve_a is 1 in defaults and 2 in argument_specs.yml"]
        );
        assert_eq!(
            role(json!({"pve_a": described(json!(2))}), json!({})),
            ["pve_a is declared with a default that defaults/main.yml does not set"]
        );
        assert_eq!(
            role(json!({"links": described(json!(2))}), json!({"links": 2})),
            ["links does not carry the prefix pve_"]
        );
        assert_eq!(role(json!({"pve_a": {}}), json!({})), ["pve_a is declared without a description"]);
    }
}
