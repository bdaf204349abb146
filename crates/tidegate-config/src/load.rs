//! Loading: find the file, gather every source, check, and tell where each value came from.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::check::check;
use crate::config::Config;
use crate::gather::{ENV_FILE, Gathered, Sheet, variable};
use crate::problem::{Origin, Place, Problem, Problems};

/// Where settings may come from. Nothing else is looked at.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// The file that was asked for; without it the one that `TIDEGATE_CONFIG` names, else the
    /// first of `search` that exists, else none.
    pub file: Option<PathBuf>,
    /// Where else a file may be; see [`search_paths`].
    pub search: Vec<PathBuf>,
    /// The environment, as names and values.
    pub env: &'a [(String, String)],
    /// What the command line sets, by the settings' names (`pool.pool_size`); of two values for
    /// one name, the last counts.
    pub flags: &'a [(String, String)],
}

/// Settings that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Which source each came from.
    pub origins: Origins,
    /// What is probably not meant, but does no harm.
    pub warnings: Vec<Problem>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Which source each setting came from. Within `[[pool_for]]` and `[[user]]` the names count from
/// one: `user[1].name`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// The source of the setting `name`; what nothing set is [`Origin::Default`].
    pub fn get(&self, name: &str) -> &Origin {
        self.0.get(name).unwrap_or(&Origin::Default)
    }

    /// Everything that some source set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(name, origin)| (name.as_str(), origin))
    }

    fn add(&mut self, prefix: Option<String>, sheet: &Sheet) {
        for (name, given) in &sheet.given {
            let name = match (&prefix, name.split_once('.')) {
                (Some(prefix), Some((_, key))) => format!("{prefix}.{key}"),
                _ => (*name).to_owned(),
            };
            self.0.insert(name, Origin::from(&given.place));
        }
    }
}

/// The usual places of a settings file, strongest first: `./tidegate.toml`,
/// `$XDG_CONFIG_HOME/tidegate/tidegate.toml` (or below `~/.config`), and
/// `/etc/tidegate/tidegate.toml`.
pub fn search_paths(env: &[(String, String)]) -> Vec<PathBuf> {
    let set = |name| variable(env, name).filter(|value| !value.is_empty());
    let config_home = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(home).join(".config")));
    let mut paths = vec![PathBuf::from("tidegate.toml")];
    paths.extend(config_home.map(|home| home.join("tidegate/tidegate.toml")));
    paths.push(PathBuf::from("/etc/tidegate/tidegate.toml"));
    paths
}

/// Reads and checks everything. Flags win over the environment, the environment over the file,
/// and the file over `DATABASE_URL` and the defaults.
///
/// # Errors
/// All that is wrong, at once.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Problems> {
    let mut gathered = Gathered::default();
    gathered.flags(sources.flags);
    gathered.environment(sources.env);
    let file = match find_file(sources) {
        Ok(None) => None,
        Ok(Some((path, text))) => {
            gathered.file(&path, &text, sources.env);
            Some(path)
        }
        // What the file would have said is unknown, so nothing else can be judged.
        Err(problem) => return Err(Problems(vec![problem])),
    };
    gathered.database_url(sources.env);

    let mut problems = std::mem::take(&mut gathered.problems);
    let mut warnings = std::mem::take(&mut gathered.warnings);
    let config = check(&gathered, &mut problems, &mut warnings);
    problems.sort();
    warnings.sort();
    match config {
        Some(config) if problems.is_empty() => {
            let mut origins = Origins::default();
            origins.add(None, &gathered.sheet);
            for (section, rows) in [("pool_for", &gathered.pool_for), ("user", &gathered.users)] {
                for (index, row) in rows.iter().enumerate() {
                    origins.add(Some(format!("{section}[{}]", index + 1)), row);
                }
            }
            Ok(Loaded { config, origins, warnings, file })
        }
        _ => Err(Problems(problems)),
    }
}

fn find_file(sources: &Sources<'_>) -> Result<Option<(PathBuf, String)>, Problem> {
    let named = variable(sources.env, ENV_FILE).filter(|path| !path.is_empty());
    let (path, place) = match (&sources.file, named) {
        (Some(path), _) => (path.clone(), Place::Nowhere),
        (None, Some(path)) => (PathBuf::from(path), Place::Env(ENV_FILE.to_owned())),
        (None, None) => {
            for path in &sources.search {
                match fs::read_to_string(path) {
                    Ok(text) => return Ok(Some((path.clone(), text))),
                    Err(error) if is_absent(&error) => {}
                    Err(error) => return Err(unreadable(&Place::Nowhere, path, &error)),
                }
            }
            return Ok(None);
        }
    };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) => Err(unreadable(&place, &path, &error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(place: &Place, path: &Path, error: &io::Error) -> Problem {
    Problem::new(place, format!("the settings file {} cannot be read: {error}", path.display()))
}
