//! What is written of the settings for people and editors: the reference page, the example file,
//! and the JSON schema. All of it comes from the table.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::config::{Environment, PlanChoice};
use crate::table::{Reload, SECTIONS, SECTIONS_REPEATED, SettingInfo, TABLE, settings};

/// The page `docs/reference/settings.md`.
pub fn reference_markdown() -> String {
    let mut page = String::from(REFERENCE_HEAD);
    for (section, doc) in SECTIONS {
        let heading = match header(section) {
            header if header.is_empty() => "At the top".to_owned(),
            header => format!("`{header}`"),
        };
        page.push_str(&format!("\n## {heading}\n\n{doc}\n"));
        for setting in settings().iter().filter(|setting| setting.section() == section) {
            page.push_str(&reference_entry(setting));
        }
        if section.is_empty() {
            page.push_str(&plans());
        }
    }
    page
}

fn reference_entry(setting: &SettingInfo) -> String {
    let default = match setting.default.as_str() {
        "\"\"" => "none".to_owned(),
        default => format!("`{default}`"),
    };
    let mut entry = format!(
        "\n### `{}`\n\n{}\n\n- Default: {default}\n- Allowed: {}\n",
        setting.name, setting.doc, setting.range
    );
    if let Some(env) = &setting.env {
        entry.push_str(&format!("- Environment: `{env}`\n"));
    }
    let reload = match setting.reload {
        Reload::Live => "on reload",
        Reload::Restart => "at the next start",
    };
    entry.push_str(&format!("- A change takes effect {reload}\n"));
    entry
}

fn plans() -> String {
    let mut table = String::from(
        "\n### Plans\n\nThe limit is on all connections of the database, whoever owns them. The \
         sizes are what `auto` means, as `pool_size` + `max_overflow`.\n\n\
         | Plan | Limit | Sizes | Sizes while developing |\n|---|---|---|---|\n",
    );
    for plan in PlanChoice::ALL {
        let limit = plan.limit().map_or("none".to_owned(), |limit| limit.to_string());
        let sizes = |environment| {
            let (size, overflow) = plan.pool_sizes(environment);
            format!("{size} + {overflow}")
        };
        table.push_str(&format!(
            "| `{plan}` | {limit} | {} | {} |\n",
            sizes(Environment::Production),
            sizes(Environment::Development)
        ));
    }
    table
}

/// The file `tidegate.example.toml`: every setting with its default, which changes nothing.
pub fn example_toml() -> String {
    let mut example = String::from(EXAMPLE_HEAD);
    for (section, doc) in SECTIONS {
        // A repeated section that is there has a meaning, so its example is a comment.
        let lead = if SECTIONS_REPEATED.contains(&section) { "# " } else { "" };
        example.push_str(&format!("\n{}", comment(doc)));
        if !section.is_empty() {
            example.push_str(&format!("{lead}{}\n", header(section)));
        }
        for setting in settings().iter().filter(|setting| setting.section() == section) {
            let value = example_value(setting.name).unwrap_or(&setting.default);
            example.push_str(&format!("\n{}", comment(setting.doc)));
            example.push_str(&comment(&format!("Allowed: {}.", setting.range)));
            example.push_str(&format!("{lead}{} = {value}\n", setting.key()));
        }
    }
    example
}

/// In the repeated sections, where a default would say nothing.
fn example_value(name: &str) -> Option<&'static str> {
    match name {
        "pool_for.database" => Some("\"reports\""),
        "user.name" => Some("\"app\""),
        _ => None,
    }
}

fn header(section: &str) -> String {
    match section {
        "" => String::new(),
        _ if SECTIONS_REPEATED.contains(&section) => format!("[[{section}]]"),
        _ => format!("[{section}]"),
    }
}

/// `text` as lines of a comment, none longer than [`COMMENT_CHARS_MAX`] unless a word is.
fn comment(text: &str) -> String {
    let mut lines = String::from("#");
    let mut chars = 1;
    for word in text.split_whitespace() {
        let word_chars = word.chars().count();
        if chars + 1 + word_chars > COMMENT_CHARS_MAX && chars > 1 {
            lines.push_str("\n#");
            chars = 1;
        }
        // Writing to a string cannot fail.
        let _ = write!(lines, " {word}");
        chars += 1 + word_chars;
    }
    lines.push('\n');
    lines
}

/// The JSON schema of the settings file, for editors. It is stricter than the gate, which also
/// reads quoted numbers, so that `${NAME}` can stand for one.
pub fn schema_json() -> Value {
    let mut top = Map::new();
    for (section, doc) in SECTIONS {
        let mut properties = Map::new();
        for (setting, info) in TABLE.iter().zip(settings()) {
            if info.may_stand_in(section) {
                let mut schema = setting.schema();
                schema["description"] = json!(info.doc);
                properties.insert(info.key().to_owned(), schema);
            }
        }
        if section.is_empty() {
            top.extend(properties);
            continue;
        }
        let mut table = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        });
        if section == "user" {
            table["required"] = json!(["name"]);
        }
        let mut schema = match SECTIONS_REPEATED.contains(&section) {
            true => json!({ "type": "array", "items": table }),
            false => table,
        };
        schema["description"] = json!(doc);
        top.insert(section.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tidegate's settings file",
        "type": "object",
        "additionalProperties": false,
        "properties": top,
    })
}

const COMMENT_CHARS_MAX: usize = 100;

const REFERENCE_HEAD: &str = "\
<!-- Written by `cargo xtask docs` from the table of settings; changes here are lost. -->

# Settings

Tidegate needs no settings file: `DATABASE_URL` in the environment is enough. A file is the one
that `--config` names, else the one that `TIDEGATE_CONFIG` names, else the first that exists of
`./tidegate.toml`, `$XDG_CONFIG_HOME/tidegate/tidegate.toml`, and `/etc/tidegate/tidegate.toml`.

- The command line wins over the environment, the environment over the file, and the file over
  `DATABASE_URL` and the defaults. `tidegate config origins` shows where each value came from.
- A variable of the environment is named `TIDEGATE_SECTION_KEY`. An unknown `TIDEGATE_` variable is
  a warning, but for those with `_PORT` or `_SERVICE_` in their name, which orchestrators inject.
- A duration is a string with units, longest first: `\"500ms\"`, `\"30s\"`, `\"1h30m\"`, `\"1d\"`.
- `0` means zero, `\"off\"` means off, and an empty string means not set.
- In the strings of the file, `${NAME}` stands for that variable of the environment, which must
  exist; `$${` stands for the characters `${`.
- In the environment, a list is separated by commas.
- Everything that is wrong is reported at once, with line, allowed range, and nearest known name.
";

const EXAMPLE_HEAD: &str = "\
# Every setting of Tidegate, with its default: as it is, this file changes nothing.
# Written by `cargo xtask docs` from the table of settings; changes here are lost, so copy it.
#
# A duration is a string with units (\"500ms\", \"30s\", \"1h30m\"). 0 means zero, \"off\" means off,
# and an empty string means not set. ${NAME} stands for that variable of the environment.
# docs/reference/settings.md says the same, and has the table of plans.
";
