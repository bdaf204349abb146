//! What each source says, put together: the strongest source of a setting wins.
//!
//! Relies on: the table for names. Values stay as they were written; `check` reads them.
//!
//! Promises: every key of the file, every flag, and every `TIDEGATE_` variable is either taken,
//! told to be unknown, or one of those that orchestrators inject.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::kind::Raw;
use crate::nearest::nearest;
use crate::problem::{Place, Problem};
use crate::table::{SECTIONS, SECTIONS_REPEATED, SettingInfo, settings};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) raw: Raw,
    pub(crate) place: Place,
}

/// The values of one scope by name: of the whole, or of one `[[…]]`.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) given: BTreeMap<&'static str, Given>,
    /// For a `[[…]]`: its section and where it begins.
    pub(crate) header: Option<(&'static str, Place)>,
}

impl Sheet {
    /// The stronger source comes first, so the first value stays.
    fn put(&mut self, name: &'static str, raw: Raw, place: Place) {
        if !raw.is_empty() {
            self.given.entry(name).or_insert(Given { raw, place });
        }
    }

    /// Where the first of `names` that is set stands, or else the `[[…]]`.
    pub(crate) fn place_of(&self, names: &[&str]) -> Place {
        let given = names.iter().find_map(|name| self.given.get(name));
        match (given, &self.header) {
            (Some(given), _) => given.place.clone(),
            (None, Some((_, place))) => place.clone(),
            (None, None) => Place::Nowhere,
        }
    }
}

/// All that was said.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) sheet: Sheet,
    pub(crate) pool_for: Vec<Sheet>,
    pub(crate) users: Vec<Sheet>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Gathered {
    /// To be called before the weaker sources.
    pub(crate) fn flags(&mut self, flags: &[(String, String)]) {
        // Of a flag that is given twice, the last counts.
        for (name, value) in flags.iter().rev() {
            let place = Place::Flag(name.clone());
            match settings().iter().find(|setting| setting.name == name && setting.env.is_some()) {
                Some(setting) => self.sheet.put(setting.name, Raw::quoted(value), place),
                None => {
                    let (section, key) = name.split_once('.').unwrap_or(("", name));
                    self.problems.push(Problem::new(&place, unknown(section, key)));
                }
            }
        }
    }

    /// `TIDEGATE_…`.
    pub(crate) fn environment(&mut self, env: &[(String, String)]) {
        for (name, value) in env {
            if !name.starts_with(ENV_PREFIX) || name == ENV_FILE {
                continue;
            }
            let place = Place::Env(name.clone());
            match settings().iter().find(|setting| setting.env.as_ref() == Some(name)) {
                Some(setting) => self.sheet.put(setting.name, Raw::quoted(value), place),
                // Kubernetes and Docker inject these for a service named `tidegate`.
                None if name.contains("_PORT") || name.contains("_SERVICE_") => {}
                None => self.warnings.push(Problem::new(&place, unknown_variable(name))),
            }
        }
    }

    /// The settings file. With a syntax error nothing of it is taken.
    pub(crate) fn file(&mut self, path: &Path, text: &str, env: &[(String, String)]) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut file = FileReader { path, text, env, out: self };
        if errors.is_empty() {
            file.document(document.get_ref());
        }
        for error in errors {
            let place = file.place(error.span().map_or(0, |span| span.start));
            let message = format!("not TOML: {}", error.message().replace('\n', "; "));
            file.out.problems.push(Problem::new(&place, message));
        }
    }

    /// `DATABASE_URL`, which everything else precedes.
    pub(crate) fn database_url(&mut self, env: &[(String, String)]) {
        if let Some(url) = variable(env, ENV_DATABASE_URL) {
            let place = Place::Env(ENV_DATABASE_URL.to_owned());
            self.sheet.put("upstream.url", Raw::quoted(url), place);
        }
    }
}

pub(crate) fn variable<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

struct FileReader<'a> {
    path: &'a Path,
    text: &'a str,
    env: &'a [(String, String)],
    out: &'a mut Gathered,
}

impl FileReader<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: PathBuf::from(self.path),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    fn problem(&mut self, offset: usize, message: impl Into<String>) {
        let problem = Problem::new(&self.place(offset), message);
        self.out.problems.push(problem);
    }

    fn document(&mut self, table: &DeTable<'_>) {
        let mut sheet = std::mem::take(&mut self.out.sheet);
        for (key, value) in table {
            let (at, name) = (value.span().start, key.get_ref().as_ref());
            let section = SECTIONS.iter().map(|(section, _)| *section).find(|s| *s == name);
            match (section, value.get_ref()) {
                (Some(section), DeValue::Array(rows)) if SECTIONS_REPEATED.contains(&section) => {
                    for row in rows {
                        let at = row.span().start;
                        let DeValue::Table(entries) = row.get_ref() else {
                            self.problem(at, format!("a {section} is a table: [[{section}]]"));
                            continue;
                        };
                        let header = Some((section, self.place(at)));
                        let mut row = Sheet { header, ..Sheet::default() };
                        self.entries(section, entries, &mut row);
                        match section {
                            "user" => self.out.users.push(row),
                            _ => self.out.pool_for.push(row),
                        }
                    }
                }
                (Some(section), _) if SECTIONS_REPEATED.contains(&section) => {
                    let message = format!("there may be several of these, so write [[{section}]]");
                    self.problem(key.span().start, message);
                }
                (Some(section), DeValue::Table(entries)) => {
                    self.entries(section, entries, &mut sheet);
                }
                (Some(section), _) => {
                    self.problem(at, format!("{section} is a section: write [{section}]"));
                }
                (None, DeValue::Table(_)) if setting("", name).is_none() => {
                    let message = match nearest(name, SECTIONS.map(|(section, _)| section)) {
                        Some(near) => {
                            format!("[{name}] is not a section; did you mean [{near}]?")
                        }
                        None => {
                            let sections = SECTIONS.map(|(section, _)| section);
                            let sections = sections.get(1..).unwrap_or_default().join(", ");
                            format!("[{name}] is not a section; the sections are {sections}")
                        }
                    };
                    self.problem(key.span().start, message);
                }
                (None, _) => self.entry("", key.span().start, name, value, &mut sheet),
            }
        }
        self.out.sheet = sheet;
    }

    fn entries(&mut self, section: &str, entries: &DeTable<'_>, sheet: &mut Sheet) {
        for (key, value) in entries {
            self.entry(section, key.span().start, key.get_ref(), value, sheet);
        }
    }

    fn entry(
        &mut self,
        section: &str,
        key_at: usize,
        key: &str,
        value: &toml::Spanned<DeValue<'_>>,
        sheet: &mut Sheet,
    ) {
        let Some(setting) = setting(section, key) else {
            return self.problem(key_at, unknown(section, key));
        };
        let at = value.span().start;
        match self.raw(value.get_ref()) {
            Ok(raw) => sheet.put(setting.name, raw, self.place(at)),
            Err(why) => {
                let dotted = if section.is_empty() { "" } else { "." };
                self.problem(at, format!("{section}{dotted}{key} {why}"));
            }
        }
    }

    /// An error completes the sentence "pool.pool_size …".
    fn raw(&self, value: &DeValue<'_>) -> Result<Raw, String> {
        let plain = |text: String| Ok(Raw::One { text, quoted: false });
        match value {
            DeValue::String(text) => self.expanded(text).map(Raw::quoted),
            DeValue::Integer(number) => {
                // Underscores and other bases are the file's affair; what does not fit in 64 bits
                // is out of every range, so it may stay as it is.
                let known = i64::from_str_radix(number.as_str(), number.radix());
                plain(known.map_or_else(|_| number.to_string(), |number| number.to_string()))
            }
            DeValue::Float(number) => plain(number.to_string()),
            DeValue::Boolean(truth) => plain(truth.to_string()),
            DeValue::Datetime(time) => plain(time.to_string()),
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items {
                    match self.raw(item.get_ref())? {
                        Raw::One { text, quoted: true } => texts.push(text),
                        _ => return Err("is a list of something other than text".to_owned()),
                    }
                }
                Ok(Raw::List(texts))
            }
            DeValue::Table(_) => Err("is a table where a value is wanted".to_owned()),
        }
    }

    /// Replaces each `${NAME}` by that variable of the environment; `$${` stands for `${`.
    fn expanded(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = after;
                continue;
            }
            let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_variable(name))
            else {
                return Err("has a ${ that is not ${NAME}; for these characters themselves write \
                            $${"
                .to_owned());
            };
            let value = variable(self.env, name).ok_or_else(|| {
                format!("needs the environment variable {name}, which is not set")
            })?;
            expanded.push_str(before);
            expanded.push_str(value);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The setting of a key: within `[[pool_for]]` those that it may override count too.
fn setting(section: &str, key: &str) -> Option<&'static SettingInfo> {
    settings().iter().find(|s| s.key() == key && s.may_stand_in(section))
}

/// Keys that may stand in a section.
fn keys(section: &str) -> Vec<&'static str> {
    settings().iter().filter(|s| s.may_stand_in(section)).map(SettingInfo::key).collect()
}

/// What to say of a key that does not exist: the section where it does, the nearest name in its
/// own section, the nearest elsewhere, or all that its section has.
fn unknown(section: &str, key: &str) -> String {
    let dotted = |section: &str, key: &str| match section {
        "" => key.to_owned(),
        _ => format!("{section}.{key}"),
    };
    let is_not = format!("{} is not a setting", dotted(section, key));
    if let Some(setting) = settings().iter().find(|s| s.key() == key) {
        return match setting.section() {
            "" => format!("{is_not}; {key} belongs at the top, before the first section"),
            other if SECTIONS_REPEATED.contains(&other) => {
                format!("{is_not}; {key} belongs in [[{other}]]")
            }
            other => format!("{is_not}; {key} belongs in [{other}]"),
        };
    }
    if let Some(near) = nearest(key, keys(section)) {
        return format!("{is_not}; did you mean {}?", dotted(section, near));
    }
    if let Some(near) = nearest(key, settings().iter().map(SettingInfo::key)) {
        let elsewhere = settings().iter().find(|s| s.key() == near).map_or(near, |s| s.name);
        return format!("{is_not}; did you mean {elsewhere}?");
    }
    match keys(section) {
        keys if keys.is_empty() || section.is_empty() => {
            let sections = SECTIONS.map(|(section, _)| section);
            let sections = sections.get(1..).unwrap_or_default().join(", ");
            format!("{is_not}; there is plan, and the sections {sections}")
        }
        keys => format!("{is_not}; [{section}] has {}", keys.join(", ")),
    }
}

fn unknown_variable(name: &str) -> String {
    let known = || settings().iter().filter_map(|setting| setting.env.as_deref());
    // TIDEGATE_POOL_SIZE: only the section is missing.
    let key = name.trim_start_matches(ENV_PREFIX).to_lowercase();
    let same_key = settings().iter().find(|setting| setting.key() == key);
    match same_key.and_then(|setting| setting.env.as_deref()).or_else(|| nearest(name, known())) {
        Some(near) => format!("{name} is not a setting; did you mean {near}?"),
        None => format!("{name} is not a setting and is ignored"),
    }
}

const ENV_PREFIX: &str = "TIDEGATE_";
/// Names the settings file, and so cannot be in it.
pub(crate) const ENV_FILE: &str = "TIDEGATE_CONFIG";
const ENV_DATABASE_URL: &str = "DATABASE_URL";
