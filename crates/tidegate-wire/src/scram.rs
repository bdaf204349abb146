//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, in the role of the server and in that of the client
//! (RFC 5802, RFC 7677, RFC 5929, and what PostgreSQL makes of them: `auth-scram.c`,
//! `scram-common.c`).
//!
//! Each step consumes the state before it, so a step that was skipped does not compile:
//!
//! ```text
//! server:  ServerFirst --client-first--> AwaitingProof --client-final--> ClientKey, server-final
//! client:  ClientFirst --server-first--> NeedsKeys --keys--> AwaitingServerFinal
//!                      --server-final--> Authenticated
//! ```
//!
//! [`NeedsKeys`] stands between because deriving keys from a password is slow by design: it names
//! the salt and iterations, and whoever drives the login looks into its cache, or derives on a
//! thread that may be slow, and then goes on. Nonces are arguments; see [`nonce`].
//!
//! PLUS binds the login to the TLS connection that carries it: the client proves which certificate
//! it saw. Whether it is offered, chosen, and used is one rule, [`ChannelBinding`]'s; whoever
//! removes the offer on its way, or ends TLS in between, is found out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::certificate::EndPoint;

/// The name of the mechanism without channel binding in AuthenticationSASL.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// The name of the one with it.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// A mechanism that a client chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// Without channel binding.
    Plain,
    /// With channel binding.
    Plus,
}

impl Mechanism {
    /// The mechanism of this name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Plain, Self::Plus].into_iter().find(|known| known.as_str().as_bytes() == name)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => MECHANISM,
            Self::Plus => MECHANISM_PLUS,
        }
    }
}

/// Why a login by SCRAM failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScramError {
    /// The client wants to act as somebody else. PostgreSQL refuses this, too.
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    /// The client says that it would bind the channel if only the server could, but the server
    /// has offered it: the offer was removed on its way.
    #[error(
        "the client supports channel binding and thinks that the server does not, but it was offered"
    )]
    ChannelBindingDowngraded,
    /// `c=` is not what the first message and the certificate make it: someone changed a message,
    /// or the client saw another certificate.
    #[error("the client saw another certificate, or a message was changed on its way")]
    ChannelBindingMismatch,
    /// The client chose the mechanism with channel binding and does not bind.
    #[error("the client chose {MECHANISM_PLUS} and sent no channel binding")]
    ChannelBindingMissing,
    /// The client binds with a mechanism that has no channel binding.
    #[error("the client sent a channel binding and did not choose {MECHANISM_PLUS}")]
    ChannelBindingUnchosen,
    /// The client binds to something other than the certificate.
    #[error("the client wants a type of channel binding other than tls-server-end-point")]
    ChannelBindingUnknown,
    /// Keys were given that belong to another salt or another number of iterations.
    #[error("the stored keys are not for the salt and iterations that the server asks for")]
    KeysDoNotFit,
    /// Not a SCRAM message of this step.
    #[error("malformed SCRAM message: {what}")]
    Malformed {
        /// The part that is wrong.
        what: &'static str,
    },
    /// The client chose a mechanism that was not offered.
    #[error("the client chose a mechanism that was not offered")]
    MechanismNotOffered,
    /// An extension that must be understood; none is.
    #[error("the SCRAM message requires an unknown extension")]
    MandatoryExtension,
    /// The nonce is not the one of this login.
    #[error("the SCRAM nonce does not match")]
    NonceMismatch,
    /// The server ended the exchange with an error of its own.
    #[error("the server refused the SCRAM exchange: {reason}")]
    Refused {
        /// The server's word, such as `invalid-proof`; at most 64 characters.
        reason: String,
    },
    /// The server asks for more work than we do for anybody.
    #[error("the server asks for {iterations} iterations, more than {ITERATIONS_MAX}")]
    TooManyIterations {
        /// What it asks for.
        iterations: u64,
    },
    /// The proof is wrong, or the user has no password: the two are never told apart.
    #[error("wrong password")]
    WrongProof,
    /// The server does not know the password's keys: it is not the one we think it is.
    #[error("the server could not prove that it knows the password")]
    WrongServerSignature,
}

/// What the client says of channel binding in its first message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ChannelBinding {
    /// It cannot do it, or does not want to: `n`.
    NotSupported,
    /// It could, but thinks that the server cannot: `y`. Right as long as no mechanism with
    /// channel binding is offered; otherwise this is how a removed offer is noticed.
    SupportedButUnused,
    /// It binds to the server's certificate: `p=tls-server-end-point`. The mechanism is then
    /// [`Mechanism::Plus`].
    EndPoint(EndPoint),
}

impl ChannelBinding {
    /// The mechanism that goes with it.
    pub const fn mechanism(&self) -> Mechanism {
        match self {
            Self::NotSupported | Self::SupportedButUnused => Mechanism::Plain,
            Self::EndPoint(_) => Mechanism::Plus,
        }
    }

    /// The GS2 header: the flag, and no authorization identity.
    pub const fn gs2_header(&self) -> &'static str {
        match self {
            Self::NotSupported => "n,,",
            Self::SupportedButUnused => "y,,",
            Self::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// Takes the header off the first message, and holds it against what was chosen and what was
    /// offered; what is left is the "bare" message.
    fn split(
        message: &str,
        chosen: Mechanism,
        offered: Option<EndPoint>,
    ) -> Result<(Self, &str), ScramError> {
        let (flag, rest) =
            message.split_once(',').ok_or(ScramError::Malformed { what: "header" })?;
        let binding = match (chosen, offered, flag) {
            (Mechanism::Plus, None, _) => return Err(ScramError::MechanismNotOffered),
            (Mechanism::Plus, Some(end_point), "p=tls-server-end-point") => {
                Self::EndPoint(end_point)
            }
            (Mechanism::Plus, Some(_), "n" | "y") => {
                return Err(ScramError::ChannelBindingMissing);
            }
            (Mechanism::Plus, Some(_), _) if flag.starts_with("p=") => {
                return Err(ScramError::ChannelBindingUnknown);
            }
            (Mechanism::Plain, _, "n") => Self::NotSupported,
            (Mechanism::Plain, None, "y") => Self::SupportedButUnused,
            (Mechanism::Plain, Some(_), "y") => return Err(ScramError::ChannelBindingDowngraded),
            (Mechanism::Plain, _, _) if flag.starts_with("p=") => {
                return Err(ScramError::ChannelBindingUnchosen);
            }
            _ => return Err(ScramError::Malformed { what: "channel binding flag" }),
        };
        match rest.split_once(',') {
            Some(("", bare)) => Ok((binding, bare)),
            Some((identity, _)) if identity.starts_with("a=") => {
                Err(ScramError::AuthorizationIdentity)
            }
            _ => Err(ScramError::Malformed { what: "header" }),
        }
    }

    /// The value of `c=` that belongs to this binding: its header and its data.
    fn attribute(&self) -> String {
        let data = match self {
            Self::NotSupported | Self::SupportedButUnused => &[],
            Self::EndPoint(end_point) => end_point.as_bytes(),
        };
        BASE64.encode([self.gs2_header().as_bytes(), data].concat())
    }
}

/// What the server stores instead of a password (`pg_authid.rolpassword`).
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// How often the hash was applied; never 0.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// The hash of the client's key.
    pub stored_key: [u8; KEY_BYTES],
    /// With which the server proves itself.
    pub server_key: [u8; KEY_BYTES],
    /// Whether there is a user behind it.
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    User,
    Mock,
}

/// A text that is no verifier. It says nothing of the text, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 verifier: its {what} is wrong")]
pub struct VerifierError {
    /// The part that is wrong.
    pub what: &'static str,
}

impl Verifier {
    /// Parses `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    ///
    /// # Errors
    /// The text is not of this form.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let wrong = |what| VerifierError { what };
        let mut parts = text.split('$');
        let (Some(MECHANISM), Some(work), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("form"));
        };
        let (iterations, salt) = work.split_once(':').ok_or(wrong("form"))?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(wrong("form"))?;
        let iterations = decimal(iterations)
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n > 0)
            .ok_or(wrong("number of iterations"))?;
        let salt = BASE64.decode(salt).map_err(|_| wrong("salt"))?;
        let stored_key = decode_key(stored_key).ok_or(wrong("stored key"))?;
        let server_key = decode_key(server_key).ok_or(wrong("server key"))?;
        Ok(Self { iterations, salt, stored_key, server_key, origin: Origin::User })
    }

    /// The verifier of a password. Slow: see [`SaltedKeys::derive`].
    pub fn from_password(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        SaltedKeys::derive(password, salt, iterations).verifier()
    }

    /// A verifier for a user who does not exist, which no password satisfies.
    ///
    /// The same user gets the same salt each time, as PostgreSQL does it with a secret of the
    /// cluster, so that asking twice does not tell who exists. Salt length and iterations are
    /// PostgreSQL's defaults for the same reason.
    pub fn mock(user: &[u8], server_secret: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| hmac(server_secret, &[purpose, user]);
        let salt = derive(b"salt:").into_iter().take(SALT_BYTES).collect();
        Self {
            iterations: ITERATIONS_DEFAULT,
            salt,
            stored_key: derive(b"stored key:"),
            server_key: derive(b"server key:"),
            origin: Origin::Mock,
        }
    }
}

impl fmt::Display for Verifier {
    /// As PostgreSQL stores it. Whoever has it can pose as the server: keep it out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The keys that a password yields for one salt and one number of iterations. They are as good
/// as the password for a server with the same verifier.
#[derive(Clone, PartialEq, Eq)]
pub struct SaltedKeys {
    /// The salt.
    pub salt: Vec<u8>,
    /// How often the hash was applied.
    pub iterations: u32,
    /// With which the client proves itself.
    pub client_key: [u8; KEY_BYTES],
    /// With which the server proves itself.
    pub server_key: [u8; KEY_BYTES],
}

impl SaltedKeys {
    /// Derives the keys; `iterations` below 1 count as 1.
    ///
    /// Slow by design: each iteration hashes two blocks, and PostgreSQL's default of 4096 costs
    /// milliseconds. Keep the result.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(&prepare(password), salt, iterations);
        Self {
            salt: salt.to_vec(),
            iterations: iterations.max(1),
            client_key: hmac(&salted, &[b"Client Key"]),
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }

    /// What a server stores to recognise these keys.
    pub fn verifier(&self) -> Verifier {
        Verifier {
            iterations: self.iterations,
            salt: self.salt.clone(),
            stored_key: sha256(&self.client_key),
            server_key: self.server_key,
            origin: Origin::User,
        }
    }

    /// Whether they are for this salt and this number of iterations.
    pub fn fit(&self, salt: &[u8], iterations: u32) -> bool {
        self.salt == salt && self.iterations == iterations
    }
}

impl fmt::Debug for SaltedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltedKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The key that a client proved to have. With the server's verifier it suffices to log in
/// elsewhere as this client.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKey([u8; KEY_BYTES]);

impl ClientKey {
    /// The key.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The keys for a server that stores `verifier`, against which this key was proved.
    pub fn with_verifier(&self, verifier: &Verifier) -> SaltedKeys {
        SaltedKeys {
            salt: verifier.salt.clone(),
            iterations: verifier.iterations,
            client_key: self.0,
            server_key: verifier.server_key,
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(..)")
    }
}

// The role of the server.

/// The server, before the client's first message.
#[derive(Debug)]
pub struct ServerFirst {
    verifier: Verifier,
    server_nonce: String,
    end_point: Option<EndPoint>,
}

impl ServerFirst {
    /// `server_nonce` is used once; see [`nonce`]. `end_point` is that of the certificate that was
    /// sent on this very connection; none without TLS, and then PLUS is not offered.
    pub fn new(verifier: Verifier, server_nonce: String, end_point: Option<EndPoint>) -> Self {
        Self { verifier, server_nonce, end_point }
    }

    /// What to offer, the preferred first, as PostgreSQL orders them.
    pub const fn mechanisms(&self) -> &'static [&'static str] {
        match self.end_point {
            Some(_) => &[MECHANISM_PLUS, MECHANISM],
            None => &[MECHANISM],
        }
    }

    /// Takes client-first, answers with server-first. `chosen` is what the client chose of the
    /// offer.
    ///
    /// The user name inside is ignored, as in PostgreSQL: the startup packet's counts.
    ///
    /// # Errors
    /// See [`ScramError`].
    pub fn on_client_first(
        self,
        chosen: Mechanism,
        message: &[u8],
    ) -> Result<(AwaitingProof, Vec<u8>), ScramError> {
        let (binding, bare) = ChannelBinding::split(text(message)?, chosen, self.end_point)?;
        let mut attributes = Attributes::new(bare);
        attributes.refuse_mandatory_extension()?;
        attributes.take("n=", "user name")?;
        let client_nonce = attributes.take("r=", "nonce")?;
        check_nonce(client_nonce)?;
        let nonce = format!("{client_nonce}{}", self.server_nonce);
        let verifier = self.verifier;
        let answer =
            format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let transcript = format!("{bare},{answer}");
        Ok((AwaitingProof { verifier, binding, nonce, transcript }, answer.into_bytes()))
    }
}

/// The server, after its first message.
#[derive(Debug)]
pub struct AwaitingProof {
    verifier: Verifier,
    binding: ChannelBinding,
    /// Both halves.
    nonce: String,
    /// All that was said so far, but for the header.
    transcript: String,
}

impl AwaitingProof {
    /// What the client said of channel binding.
    pub const fn channel_binding(&self) -> &ChannelBinding {
        &self.binding
    }

    /// What the proof is held against.
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Takes client-final; answers with server-final if the proof is right.
    ///
    /// # Errors
    /// See [`ScramError`].
    pub fn on_client_final(self, message: &[u8]) -> Result<(ClientKey, Vec<u8>), ScramError> {
        let message = text(message)?;
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or(ScramError::Malformed { what: "proof" })?;
        let proof = decode_key(proof).ok_or(ScramError::Malformed { what: "proof" })?;
        let mut attributes = Attributes::new(without_proof);
        if attributes.take("c=", "channel binding")? != self.binding.attribute() {
            return Err(ScramError::ChannelBindingMismatch);
        }
        if attributes.take("r=", "nonce")? != self.nonce {
            return Err(ScramError::NonceMismatch);
        }
        let transcript = format!("{},{without_proof}", self.transcript);

        let signature = hmac(&self.verifier.stored_key, &[transcript.as_bytes()]);
        let client_key = xor(&proof, &signature);
        let is_right = sha256(&client_key).ct_eq(&self.verifier.stored_key);
        if !bool::from(is_right) || self.verifier.origin == Origin::Mock {
            return Err(ScramError::WrongProof);
        }
        let signature = hmac(&self.verifier.server_key, &[transcript.as_bytes()]);
        let answer = format!("v={}", BASE64.encode(signature));
        Ok((ClientKey(client_key), answer.into_bytes()))
    }
}

// The role of the client.

/// With what a client logs in.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientSecret {
    /// A password, from which keys are derived for whatever salt the server names.
    Password(Vec<u8>),
    /// Keys that are good for one salt and number of iterations.
    Keys(SaltedKeys),
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Keys(_) => "Keys(..)",
        })
    }
}

/// The client, after its first message.
#[derive(Debug)]
pub struct ClientFirst {
    secret: ClientSecret,
    binding: ChannelBinding,
    client_nonce: String,
    bare: String,
}

impl ClientFirst {
    /// The state, and client-first. `client_nonce` is used once; see [`nonce`].
    ///
    /// The user name inside stays empty, as PostgreSQL's own client leaves it: the startup packet
    /// has it. The mechanism to choose is the binding's.
    pub fn new(
        secret: ClientSecret,
        client_nonce: String,
        binding: ChannelBinding,
    ) -> (Self, Vec<u8>) {
        let bare = format!("n=,r={client_nonce}");
        let message = format!("{}{bare}", binding.gs2_header()).into_bytes();
        (Self { secret, binding, client_nonce, bare }, message)
    }

    /// Takes server-first. What it asks for comes before the answer: see [`NeedsKeys`].
    ///
    /// # Errors
    /// See [`ScramError`].
    pub fn on_server_first(self, message: &[u8]) -> Result<NeedsKeys, ScramError> {
        let message = text(message)?;
        refuse_server_error(message)?;
        let mut attributes = Attributes::new(message);
        attributes.refuse_mandatory_extension()?;
        let nonce = attributes.take("r=", "nonce")?;
        match nonce.strip_prefix(&self.client_nonce) {
            Some(server_nonce) if !server_nonce.is_empty() => check_nonce(nonce)?,
            _ => return Err(ScramError::NonceMismatch),
        }
        let salt = attributes.take("s=", "salt")?;
        let salt = BASE64
            .decode(salt)
            .ok()
            .filter(|salt| !salt.is_empty())
            .ok_or(ScramError::Malformed { what: "salt" })?;
        let iterations = decimal(attributes.take("i=", "number of iterations")?)
            .filter(|n| *n > 0)
            .ok_or(ScramError::Malformed { what: "number of iterations" })?;
        let iterations = u32::try_from(iterations)
            .ok()
            .filter(|n| *n <= ITERATIONS_MAX)
            .ok_or(ScramError::TooManyIterations { iterations })?;
        let nonce = nonce.to_owned();
        let transcript = format!("{},{message}", self.bare);
        let Self { secret, binding, .. } = self;
        Ok(NeedsKeys { secret, binding, nonce, salt, iterations, transcript })
    }
}

/// A password, and what the server says keys are to be derived with. It owns all of it, so that a
/// thread that may be slow can have it.
#[derive(Clone, PartialEq, Eq)]
pub struct Derivation {
    password: Vec<u8>,
    salt: Vec<u8>,
    iterations: u32,
}

impl Derivation {
    /// How often the hash is to be applied; at most [`ITERATIONS_MAX`].
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Does it. Slow: see [`SaltedKeys::derive`].
    pub fn derive(&self) -> SaltedKeys {
        SaltedKeys::derive(&self.password, &self.salt, self.iterations)
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The client, once it knows the salt and iterations. Keys from a cache, from
/// [`NeedsKeys::derivation`], or from [`NeedsKeys::derive`], lead on.
#[derive(Debug)]
pub struct NeedsKeys {
    secret: ClientSecret,
    binding: ChannelBinding,
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
    transcript: String,
}

impl NeedsKeys {
    /// The salt that the server names.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// How often the hash is to be applied; at most [`ITERATIONS_MAX`].
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The keys for [`NeedsKeys::answer`]. From a password this is slow: see
    /// [`SaltedKeys::derive`].
    ///
    /// # Errors
    /// The secret is keys, and they do not fit.
    pub fn derive(&self) -> Result<SaltedKeys, ScramError> {
        match &self.secret {
            ClientSecret::Password(password) => {
                Ok(SaltedKeys::derive(password, &self.salt, self.iterations))
            }
            ClientSecret::Keys(keys) if keys.fit(&self.salt, self.iterations) => Ok(keys.clone()),
            ClientSecret::Keys(_) => Err(ScramError::KeysDoNotFit),
        }
    }

    /// The slow part of [`NeedsKeys::derive`], to be done elsewhere; none when the secret is keys,
    /// from which nothing is derived.
    pub fn derivation(&self) -> Option<Derivation> {
        match &self.secret {
            ClientSecret::Password(password) => Some(Derivation {
                password: password.clone(),
                salt: self.salt.clone(),
                iterations: self.iterations,
            }),
            ClientSecret::Keys(_) => None,
        }
    }

    /// Makes client-final.
    ///
    /// # Errors
    /// The keys do not fit.
    pub fn answer(self, keys: &SaltedKeys) -> Result<(AwaitingServerFinal, Vec<u8>), ScramError> {
        if !keys.fit(&self.salt, self.iterations) {
            return Err(ScramError::KeysDoNotFit);
        }
        let without_proof = format!("c={},r={}", self.binding.attribute(), self.nonce);
        let transcript = format!("{},{without_proof}", self.transcript);
        let stored_key = sha256(&keys.client_key);
        let proof = xor(&keys.client_key, &hmac(&stored_key, &[transcript.as_bytes()]));
        let message = format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes();
        let expected = hmac(&keys.server_key, &[transcript.as_bytes()]);
        Ok((AwaitingServerFinal { expected }, message))
    }
}

/// The client, after its proof.
pub struct AwaitingServerFinal {
    /// What only a server with the right verifier can sign.
    expected: [u8; KEY_BYTES],
}

impl AwaitingServerFinal {
    /// Takes server-final.
    ///
    /// # Errors
    /// The server refused, or did not prove itself; then it must not be used.
    pub fn on_server_final(self, message: &[u8]) -> Result<Authenticated, ScramError> {
        let message = text(message)?;
        refuse_server_error(message)?;
        let signature = Attributes::new(message).take("v=", "server signature")?;
        let signature =
            decode_key(signature).ok_or(ScramError::Malformed { what: "server signature" })?;
        if bool::from(signature.ct_eq(&self.expected)) {
            Ok(Authenticated(()))
        } else {
            Err(ScramError::WrongServerSignature)
        }
    }
}

impl fmt::Debug for AwaitingServerFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwaitingServerFinal(..)")
    }
}

/// Proof that both sides know the password. Only [`AwaitingServerFinal`] makes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Authenticated(());

/// A nonce of 18 random bytes, as long as PostgreSQL's (`SCRAM_RAW_NONCE_LEN`).
pub fn nonce(random: &[u8; 18]) -> String {
    BASE64.encode(random)
}

// The text of messages.

/// The attributes of a message, in their fixed order.
struct Attributes<'a> {
    parts: std::str::Split<'a, char>,
}

impl<'a> Attributes<'a> {
    fn new(message: &'a str) -> Self {
        Self { parts: message.split(',') }
    }

    /// The value of the next attribute, which must be the one that begins with `prefix`.
    fn take(&mut self, prefix: &str, what: &'static str) -> Result<&'a str, ScramError> {
        self.parts
            .next()
            .and_then(|part| part.strip_prefix(prefix))
            .ok_or(ScramError::Malformed { what })
    }

    fn refuse_mandatory_extension(&self) -> Result<(), ScramError> {
        match self.parts.clone().next() {
            Some(part) if part.starts_with("m=") => Err(ScramError::MandatoryExtension),
            _ => Ok(()),
        }
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::Malformed { what: "length" });
    }
    str::from_utf8(message).map_err(|_| ScramError::Malformed { what: "encoding" })
}

fn refuse_server_error(message: &str) -> Result<(), ScramError> {
    match message.strip_prefix("e=") {
        None => Ok(()),
        Some(reason) => {
            let reason = reason.chars().filter(|c| !c.is_control()).take(64).collect();
            Err(ScramError::Refused { reason })
        }
    }
}

fn check_nonce(nonce: &str) -> Result<(), ScramError> {
    let is_valid = !nonce.is_empty() && nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if is_valid { Ok(()) } else { Err(ScramError::Malformed { what: "nonce" }) }
}

/// Digits only: `parse` alone would take a sign.
fn decimal(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn decode_key(text: &str) -> Option<[u8; KEY_BYTES]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

// The arithmetic.

/// SASLprep; a password that cannot be prepared, or is not UTF-8, is used as it is
/// (`pg_saslprep` and its callers). So is one of which nothing would be left.
fn prepare(password: &[u8]) -> Vec<u8> {
    str::from_utf8(password)
        .ok()
        .and_then(|text| stringprep::saslprep(text).ok())
        .filter(|prepared| !prepared.is_empty())
        .map_or_else(|| password.to_vec(), |prepared| prepared.into_owned().into_bytes())
}

/// `Hi` of RFC 5802: PBKDF2 whose one block of output is as long as the hash.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> [u8; KEY_BYTES] {
    let keyed = keyed_hmac(password);
    let hash = |parts: &[&[u8]]| -> [u8; KEY_BYTES] {
        let mut mac = keyed.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut last = hash(&[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..iterations {
        last = hash(&[&last]);
        sum = xor(&sum, &last);
    }
    sum
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut mac = keyed_hmac(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Brings the key to the size of a block, as HMAC defines it, because the constructor for such a
/// key is the one that cannot fail.
fn keyed_hmac(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    if let Some(place) = block.get_mut(..key.len()) {
        place.copy_from_slice(key);
    } else if let Some(place) = block.first_chunk_mut() {
        *place = sha256(key);
    }
    Hmac::new(&block.into())
}

fn sha256(bytes: &[u8]) -> [u8; KEY_BYTES] {
    Sha256::digest(bytes).into()
}

fn xor(a: &[u8; KEY_BYTES], b: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    let mut sum = *a;
    sum.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    sum
}

/// The length of each key: that of the hash.
pub const KEY_BYTES: usize = 32;

/// PostgreSQL's default (`scram_iterations`).
pub const ITERATIONS_DEFAULT: u32 = 4096;

/// The length of PostgreSQL's salts (`SCRAM_DEFAULT_SALT_LEN`).
pub const SALT_BYTES: usize = 16;

/// 244 times PostgreSQL's default, and about half a second of one core: more is a server that
/// wants to keep us busy.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// No message of this exchange is longer (`PG_MAX_SASL_MESSAGE_LENGTH`).
const MESSAGE_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests;
