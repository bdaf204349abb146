//! Who may log in to Tidegate, and with what Tidegate logs in to PostgreSQL for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tidegate_config::{Config, Credential as Configured};
use tidegate_session::client_login::{Credential, Credentials, Lookup};
use tidegate_session::server_login::Secret;
use tidegate_wire::scram::{SaltedKeys, Verifier, VerifierError};

use crate::entropy::Entropy;
use crate::locks::lock;

/// What PostgreSQL itself uses (`scram_iterations`, PostgreSQL 16): RFC 7677's least.
const ITERATIONS: u32 = 4096;

/// Salts are as long as PostgreSQL's (`SCRAM_DEFAULT_SALT_LEN`).
const SALT_BYTES: usize = 16;

/// All users.
pub(crate) struct Users {
    by_name: BTreeMap<String, User>,
    /// What the salts of users that do not exist are made from.
    mock_secret: [u8; 32],
}

struct User {
    credential: Credential,
    password: Option<Arc<str>>,
    /// Derived by the last login to PostgreSQL; deriving takes milliseconds.
    keys: Mutex<Option<SaltedKeys>>,
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
        Ok(Self { by_name, mock_secret })
    }

    /// With what Tidegate logs in as `user`.
    pub(crate) fn secret(&self, user: &str) -> Secret {
        let Some(user) = self.by_name.get(user) else { return Secret::Nothing };
        match &user.password {
            Some(password) => {
                Secret::Password { password: password.clone(), keys: lock(&user.keys).clone() }
            }
            None => Secret::Nothing,
        }
    }

    /// Keeps the keys that a login has derived.
    pub(crate) fn remember(&self, user: &str, keys: SaltedKeys) {
        if let Some(user) = self.by_name.get(user) {
            *lock(&user.keys) = Some(keys);
        }
    }
}

impl Credentials for Users {
    fn credential(&self, user: &str) -> Lookup {
        Lookup::Known(match self.by_name.get(user) {
            Some(user) => user.credential.clone(),
            None => Credential::Verifier(Verifier::mock(user.as_bytes(), &self.mock_secret)),
        })
    }
}
