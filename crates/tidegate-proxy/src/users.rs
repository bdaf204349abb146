//! Who may log in to Tidegate, and with what Tidegate logs in to PostgreSQL for them.
//!
//! Users stand in the settings, or are looked up in the database (`auth.query`). What was looked
//! up is remembered for a while, also that there is no such user. A reload brings others; of those that
//! are as they were, nothing is derived anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_config::{Config, Credential as Configured, User as ConfiguredUser};
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
    known: Mutex<Arc<Known>>,
    looked_up: Mutex<LookedUp>,
    /// What the salts of users that do not exist are made from.
    mock_secret: [u8; 32],
}

/// What the settings say of users.
pub(crate) struct Known {
    by_name: BTreeMap<String, Arc<User>>,
    /// How long the answer to a look-up is remembered; none when nobody is looked up.
    remembered: Option<Duration>,
}

struct User {
    /// What the credential was made from.
    configured: Configured,
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

impl Known {
    /// Derives a verifier for each password that `before` did not have: a few milliseconds each.
    fn new(
        config: &Config,
        before: Option<&Self>,
        entropy: &mut Entropy,
    ) -> Result<Self, UserError> {
        let mut by_name = BTreeMap::new();
        for user in &config.users {
            // The upstream's own user may have a verifier here and its password in the URL.
            let is_upstreams = user.name == config.upstream.user;
            let from_url =
                || config.upstream.password.as_ref().map(|secret| secret.expose().into());
            let password: Option<Arc<str>> = match &user.credential {
                Configured::Password(password) => Some(password.expose().into()),
                Configured::Nothing | Configured::Verifier(_) => None,
            };
            let password = password.or_else(|| is_upstreams.then(from_url).flatten());
            let same = before
                .and_then(|before| before.by_name.get(&user.name))
                .filter(|known| known.configured == user.credential && known.password == password);
            let known = match same {
                Some(known) => known.clone(),
                None => Arc::new(User {
                    configured: user.credential.clone(),
                    credential: credential(user, entropy)?,
                    password,
                    keys: Mutex::default(),
                }),
            };
            by_name.insert(user.name.clone(), known);
        }
        let remembered = config.auth.query.as_ref().map(|_| config.auth.query_cache);
        Ok(Self { by_name, remembered })
    }
}

fn credential(user: &ConfiguredUser, entropy: &mut Entropy) -> Result<Credential, UserError> {
    match &user.credential {
        Configured::Nothing => Ok(Credential::Nothing),
        Configured::Password(password) => {
            let mut salt = [0; SALT_BYTES];
            entropy.fill(&mut salt);
            let password = password.expose().as_bytes();
            Ok(Credential::Verifier(Verifier::from_password(password, &salt, ITERATIONS)))
        }
        Configured::Verifier(verifier) => Verifier::parse(verifier.expose())
            .map(Credential::Verifier)
            .map_err(|source| UserError { user: user.name.clone(), source }),
    }
}

impl Users {
    /// Derives a verifier for each password: a few milliseconds per user, at start-up.
    pub(crate) fn new(config: &Config, entropy: &mut Entropy) -> Result<Self, UserError> {
        let known = Known::new(config, None, entropy)?;
        let mut mock_secret = [0; 32];
        entropy.fill(&mut mock_secret);
        Ok(Self { known: Mutex::new(Arc::new(known)), looked_up: Mutex::default(), mock_secret })
    }

    fn known(&self) -> Arc<Known> {
        lock(&self.known).clone()
    }

    /// The users of other settings, which are not in force yet.
    pub(crate) fn prepare(
        &self,
        config: &Config,
        entropy: &mut Entropy,
    ) -> Result<Known, UserError> {
        Known::new(config, Some(&self.known()), entropy)
    }

    /// Those are the users from now on. Who is logged in stays so.
    pub(crate) fn replace(&self, known: Known) {
        *lock(&self.known) = Arc::new(known);
    }

    /// What is known of users at a moment.
    pub(crate) fn at(&self, now: Tick) -> UsersAt<'_> {
        UsersAt { users: self, now }
    }

    /// With what Tidegate logs in as `user`.
    pub(crate) fn secret(&self, user: &str) -> Secret {
        let keys = match self.known().by_name.get(user).map(|user| &**user) {
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
        if let Some(user) = self.known().by_name.get(user) {
            *lock(&user.keys) = Some(keys);
        }
    }

    /// Keeps the keys that a client has proved to have, where there is no password to derive any
    /// from: a server with the same verifier lets in whoever has them.
    pub(crate) fn proved(&self, user: &str, keys: SaltedKeys) {
        match self.known().by_name.get(user) {
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
        let until = now + self.known().remembered.unwrap_or_default();
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
        let known = users.known();
        if let Some(user) = known.by_name.get(user) {
            return Lookup::Known(user.credential.clone());
        }
        if known.remembered.is_none() {
            return Lookup::Known(users.credential(user, None));
        }
        let looked_up = lock(&users.looked_up);
        match looked_up.found.get(user).filter(|found| self.now < found.until) {
            Some(found) => Lookup::Known(users.credential(user, found.verifier.clone())),
            None => Lookup::Needed,
        }
    }
}
