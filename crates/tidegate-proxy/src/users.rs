//! Who may log in to Tidegate, and with what Tidegate logs in to PostgreSQL for them.
//!
//! Users stand in the settings, or are looked up in the database (`auth.query`). What was looked
//! up is remembered for a while, also that there is no such user.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_config::{Config, Credential as Configured};
use tidegate_session::client_login::{Credential, Credentials, Lookup};
use tidegate_session::server_login::Secret;
use tidegate_wire::scram::{SaltedKeys, Verifier, VerifierError};
use tidegate_wire::tick::Tick;

use crate::entropy::Entropy;
use crate::locks::lock;
use crate::token::ClientKey;

/// What PostgreSQL itself uses (`scram_iterations`, PostgreSQL 16): RFC 7677's least.
const ITERATIONS: u32 = 4096;

/// Salts are as long as PostgreSQL's (`SCRAM_DEFAULT_SALT_LEN`).
const SALT_BYTES: usize = 16;

/// Users that are remembered after a look-up; a few hundred bytes each. Names come from clients,
/// so beyond that all are forgotten and looked up again.
const LOOKED_UP_MAX: usize = 10_000;

/// An answer that is younger than this is not doubted when a password does not fit it: whoever
/// guesses passwords costs one question a second.
const DOUBT_AGE_MIN: Duration = Duration::from_secs(1);

/// All users.
pub(crate) struct Users {
    by_name: BTreeMap<String, User>,
    /// How long the answer to a look-up is remembered; none when nobody is looked up.
    remembered: Option<Duration>,
    looked_up: Mutex<LookedUp>,
    /// What the salts of users that do not exist are made from.
    mock_secret: [u8; 32],
}

struct User {
    credential: Credential,
    password: Option<Arc<str>>,
    /// Derived by the last login to PostgreSQL, which takes milliseconds; or, without a password,
    /// proved by the last client.
    keys: Mutex<Option<SaltedKeys>>,
}

#[derive(Default)]
struct LookedUp {
    found: BTreeMap<Arc<str>, Found>,
    /// Who waits for an answer: the worker and its client.
    waiting: BTreeMap<Arc<str>, Vec<(u16, ClientKey)>>,
}

/// An answer, and what has come of it.
struct Found {
    /// None when there is no such user.
    verifier: Option<Verifier>,
    asked: Tick,
    until: Tick,
    keys: Option<SaltedKeys>,
}

/// A verifier in the settings is none.
#[derive(Debug, thiserror::Error)]
#[error("the verifier of user \"{user}\" is not one: {source}")]
pub struct UserError {
    user: String,
    source: VerifierError,
}

impl Users {
    /// Derives a verifier for each password: a few milliseconds per user, at start-up.
    pub(crate) fn new(config: &Config, entropy: &mut Entropy) -> Result<Self, UserError> {
        let mut by_name = BTreeMap::new();
        for user in &config.users {
            let (credential, password) = match &user.credential {
                Configured::Nothing => (Credential::Nothing, None),
                Configured::Password(password) => {
                    let mut salt = [0; SALT_BYTES];
                    entropy.fill(&mut salt);
                    let password = password.expose();
                    let verifier = Verifier::from_password(password.as_bytes(), &salt, ITERATIONS);
                    (Credential::Verifier(verifier), Some(Arc::from(password)))
                }
                Configured::Verifier(verifier) => {
                    let verifier = Verifier::parse(verifier.expose())
                        .map_err(|source| UserError { user: user.name.clone(), source })?;
                    (Credential::Verifier(verifier), None)
                }
            };
            // The upstream's own user may have a verifier here and its password in the URL.
            let is_upstreams = user.name == config.upstream.user;
            let from_url =
                || config.upstream.password.as_ref().map(|secret| secret.expose().into());
            let password = password.or_else(|| is_upstreams.then(from_url).flatten());
            by_name
                .insert(user.name.clone(), User { credential, password, keys: Mutex::default() });
        }
        let mut mock_secret = [0; 32];
        entropy.fill(&mut mock_secret);
        let remembered = config.auth.query.as_ref().map(|_| config.auth.query_cache);
        Ok(Self { by_name, remembered, looked_up: Mutex::default(), mock_secret })
    }

    /// What is known of users at a moment.
    pub(crate) fn at(&self, now: Tick) -> UsersAt<'_> {
        UsersAt { users: self, now }
    }

    /// With what Tidegate logs in as `user`.
    pub(crate) fn secret(&self, user: &str) -> Secret {
        let keys = match self.by_name.get(user) {
            Some(User { password: Some(password), keys, .. }) => {
                let keys = lock(keys).clone();
                return Secret::Password { password: password.clone(), keys };
            }
            Some(user) => lock(&user.keys).clone(),
            None => lock(&self.looked_up).found.get(user).and_then(|found| found.keys.clone()),
        };
        keys.map_or(Secret::Nothing, Secret::Keys)
    }

    /// Keeps the keys that a login to PostgreSQL has derived.
    pub(crate) fn derived(&self, user: &str, keys: SaltedKeys) {
        if let Some(user) = self.by_name.get(user) {
            *lock(&user.keys) = Some(keys);
        }
    }

    /// Keeps the keys that a client has proved to have, where there is no password to derive any
    /// from: a server with the same verifier lets in whoever has them.
    pub(crate) fn proved(&self, user: &str, keys: SaltedKeys) {
        match self.by_name.get(user) {
            Some(user) if user.password.is_none() => *lock(&user.keys) = Some(keys),
            Some(_) => {}
            None => {
                if let Some(found) = lock(&self.looked_up).found.get_mut(user) {
                    found.keys = Some(keys);
                }
            }
        }
    }

    // --- Looking up. ---

    /// A client waits for what is found of `user`. True when it is the first, so that somebody
    /// must be asked.
    pub(crate) fn wait_for(&self, user: &Arc<str>, worker: u16, client: ClientKey) -> bool {
        let mut looked_up = lock(&self.looked_up);
        let waiting = looked_up.waiting.entry(user.clone()).or_default();
        waiting.push((worker, client));
        waiting.len() == 1
    }

    /// The users of whom somebody waits to be told.
    pub(crate) fn awaited(&self) -> Vec<Arc<str>> {
        lock(&self.looked_up).waiting.keys().cloned().collect()
    }

    /// An answer has come: who has waited for it. None is kept of a failure.
    pub(crate) fn found(
        &self,
        user: &str,
        answer: Option<Option<Verifier>>,
        now: Tick,
    ) -> Vec<(u16, ClientKey)> {
        let mut looked_up = lock(&self.looked_up);
        let waiting = looked_up.waiting.remove(user).unwrap_or_default();
        let Some(verifier) = answer else { return waiting };
        if looked_up.found.len() >= LOOKED_UP_MAX && !looked_up.found.contains_key(user) {
            looked_up.found.retain(|_, found| now < found.until);
        }
        if looked_up.found.len() >= LOOKED_UP_MAX {
            looked_up.found.clear();
        }
        // Keys belong to the verifier that they were proved against.
        let keys = looked_up.found.remove(user).filter(|found| found.verifier == verifier);
        let keys = keys.and_then(|found| found.keys);
        let until = now + self.remembered.unwrap_or_default();
        looked_up.found.insert(user.into(), Found { verifier, asked: now, until, keys });
        waiting
    }

    /// How a user proves who it is of whom this was found.
    pub(crate) fn credential(&self, user: &str, verifier: Option<Verifier>) -> Credential {
        let mock = || Verifier::mock(user.as_bytes(), &self.mock_secret);
        Credential::Verifier(verifier.unwrap_or_else(mock))
    }

    /// A password did not fit: it may have been changed since somebody was asked.
    pub(crate) fn doubt(&self, user: &str, now: Tick) {
        if let Some(found) = lock(&self.looked_up).found.get_mut(user)
            && now.since(found.asked) >= DOUBT_AGE_MIN
        {
            found.until = now;
        }
    }
}

/// What is known of users at a moment.
pub(crate) struct UsersAt<'a> {
    users: &'a Users,
    now: Tick,
}

impl Credentials for UsersAt<'_> {
    fn credential(&self, user: &str) -> Lookup {
        let users = self.users;
        if let Some(user) = users.by_name.get(user) {
            return Lookup::Known(user.credential.clone());
        }
        if users.remembered.is_none() {
            return Lookup::Known(users.credential(user, None));
        }
        let looked_up = lock(&users.looked_up);
        match looked_up.found.get(user).filter(|found| self.now < found.until) {
            Some(found) => Lookup::Known(users.credential(user, found.verifier.clone())),
            None => Lookup::Needed,
        }
    }
}
