//! Reload: the settings are read again and checked whole, and then put in force; or nothing changes.
//!
//! SIGHUP and `POST /api/v1/reload` do the same. What was found different is logged and answered, with
//! what of it waits for a restart; what is wrong, with its place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_config::{Change, Loaded, LogLevel, Problem, Problems, Reload, changes, in_force};
use tidegate_proxy::shared::Shared;
use tidegate_proxy::tls::expiry::expiring;

/// What the process around the gate does for a reload.
pub struct Hooks {
    /// Reads the settings from where they came.
    pub load: Box<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>,
    /// Has another level logged.
    pub set_level: Box<dyn Fn(LogLevel) + Send + Sync>,
    /// A reload begins.
    pub begins: Box<dyn Fn() + Send + Sync>,
    /// A reload has ended; if nothing has changed, because of this.
    pub ended: Box<Ended>,
}

/// Is told what was wrong, if anything was.
pub type Ended = dyn Fn(Option<&ReloadError>) + Send + Sync;

/// Reloads the settings of a gate.
pub struct Reloader {
    shared: Arc<Shared>,
    hooks: Hooks,
    one_at_a_time: Mutex<()>,
}

/// What a reload has found.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// What is different from what was in force.
    pub changes: Vec<Change>,
    /// What is probably not meant, but does no harm.
    pub warnings: Vec<Problem>,
}

/// Why nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The settings are wrong.
    #[error("{0}")]
    Settings(Problems),
    /// A file that they name is wrong, or a user.
    #[error("{0}")]
    Named(#[from] tidegate_proxy::reload::PrepareError),
    /// It broke off.
    #[error(
        "the reload broke off, which is an error of Tidegate; please report it with the log. \
         Which settings hold is not known: restart the gate"
    )]
    Bug,
}

impl ReloadError {
    /// Everything that is wrong.
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Settings(problems) => problems.0.clone(),
            Self::Named(_) | Self::Bug => vec![Problem::nowhere(self.to_string())],
        }
    }
}

impl Reloader {
    /// A reloader that has nothing to do yet.
    pub fn new(shared: Arc<Shared>, hooks: Hooks) -> Self {
        Self { shared, hooks, one_at_a_time: Mutex::default() }
    }

    /// Reads the settings again and puts them in force. It reads files and derives verifiers, which
    /// may take some tens of milliseconds.
    ///
    /// # Errors
    /// [`ReloadError`] has everything that is wrong; nothing has changed then.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        (self.hooks.begins)();
        // Whoever was told that it begins must be told that it has ended.
        let result = catch_unwind(AssertUnwindSafe(|| self.try_reload()));
        let result = result.unwrap_or(Err(ReloadError::Bug));
        match &result {
            Ok(reloaded) => reloaded.log(),
            Err(ReloadError::Bug) => tracing::error!("{}", ReloadError::Bug),
            Err(error) => {
                for problem in error.problems() {
                    tracing::error!("settings: {problem}");
                }
                tracing::error!("the settings stay as they were: what was read has errors");
            }
        }
        (self.hooks.ended)(result.as_ref().err());
        result
    }

    /// The same beside whatever else the runtime does, which has one thread.
    ///
    /// # Errors
    /// As [`Reloader::reload`].
    pub async fn reload_aside(self: Arc<Self>) -> Result<Reloaded, ReloadError> {
        let reloaded = tokio::task::spawn_blocking(move || self.reload()).await;
        reloaded.unwrap_or(Err(ReloadError::Bug))
    }

    fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let Loaded { config: new, mut warnings, .. } =
            (self.hooks.load)().map_err(ReloadError::Settings)?;
        let old = self.shared.config();
        let changes = changes(&old, &new);
        let config = in_force(&old, &new);
        let level = config.log.level;
        let old_certificates = expiring(&config);
        warnings.extend(old_certificates.iter().map(|old| Problem::nowhere(old.to_string())));
        let prepared = self.shared.prepare(config)?;
        self.shared.put_in_force(prepared);
        (self.hooks.set_level)(level);
        Ok(Reloaded { changes, warnings })
    }
}

impl Reloaded {
    /// How many changes apply now, and how many wait.
    pub fn counts(&self) -> (usize, usize) {
        let live = self.changes.iter().filter(|change| change.reload == Reload::Live).count();
        (live, self.changes.len() - live)
    }

    fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!("settings: {warning}");
        }
        for Change { setting, old, new, reload } in &self.changes {
            let applies = applies(*reload);
            tracing::info!(setting, old, new, applies, "a setting has changed");
        }
        let (now, later) = self.counts();
        tracing::info!(now, later, "the settings, certificates, and keys were read again");
    }
}

/// The word for when a change applies.
pub const fn applies(reload: Reload) -> &'static str {
    match reload {
        Reload::Live => "now",
        Reload::Restart => "after a restart",
    }
}
