//! Logins, both ways: a client's to Tidegate, and Tidegate's to PostgreSQL. The other side is
//! played by hand with what `tidegate_wire` has for it, or by the machine of the other direction.

use std::sync::Arc;

use proptest::prelude::*;
use tidegate_session::client_login::{
    ClientLogin, Credential, Credentials, LoggedIn, LoginContext, LoginStep, Lookup, Refusal,
    TlsOffer, TlsStart,
};
use tidegate_session::parameters::SessionSettings;
use tidegate_session::pieces::Pieces;
use tidegate_session::server_login::{
    self, BindChannel, LoginFailure, LoginStep as ServerStep, Role, Secret, ServerLogin,
    ServerLoginSettings, Unbound,
};
use tidegate_session::tls_request::{TlsFailure, TlsNegotiation};
use tidegate_wire::backend::{
    self, Authentication, Message, Report, Severity, Tag, TransactionStatus,
};
use tidegate_wire::catalogue::Code;
use tidegate_wire::certificate::{self, EndPoint};
use tidegate_wire::frontend::{self, SaslInitial};
use tidegate_wire::md5;
use tidegate_wire::scram::{
    self, ChannelBinding, ClientFirst, ClientSecret, Mechanism, SaltedKeys, ServerFirst, Verifier,
};
use tidegate_wire::sqlstate::SqlState;
use tidegate_wire::startup::{self, ProtocolVersion};

const SCRAM: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The end point of a server whose certificate is next to nothing and holds this byte.
fn end_point(byte: u8) -> EndPoint {
    let der = [
        b"\x30\x13\x30\x03\x02\x01",
        &[byte][..],
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x00", // ECDSA with SHA-256.
    ];
    certificate::end_point(&der.concat()).expect("a certificate")
}

// --- A client's login. ---

/// `app` has the password `secret`, `guest` needs none, who has `looked_up` in the name must be
/// looked up, all others do not exist.
struct Users {
    app: Verifier,
}

impl Users {
    fn new() -> Self {
        Self { app: Verifier::from_password(b"secret", b"salt of app 1234", 4096) }
    }
}

impl Credentials for Users {
    fn credential(&self, user: &str) -> Lookup {
        if user.contains("looked_up") {
            return Lookup::Needed;
        }
        Lookup::Known(match user {
            "app" => Credential::Verifier(self.app.clone()),
            "guest" => Credential::Nothing,
            unknown => unknown_user(unknown),
        })
    }
}

fn unknown_user(name: &str) -> Credential {
    Credential::Verifier(Verifier::mock(name.as_bytes(), &[9; 32]))
}

struct Gate {
    users: Users,
    login: ClientLogin,
    said: Vec<u8>,
}

impl Gate {
    fn new() -> Self {
        Self::offering(TlsOffer::Off)
    }

    fn offering(tls: TlsOffer) -> Self {
        Self { users: Users::new(), login: ClientLogin::new(None, tls), said: Vec::new() }
    }

    /// A gate with which TLS was negotiated, and that sent a certificate of this end point.
    fn inside_tls(sent: Option<EndPoint>) -> Self {
        let mut gate = Self::offering(TlsOffer::Require);
        assert!(matches!(gate.hear(&ssl_request()), LoginStep::StartTls { .. }));
        assert_eq!(gate.said(), b"S");
        gate.login.secured(sent);
        gate
    }

    fn hear(&mut self, input: &[u8]) -> LoginStep {
        self.step(input, |login, context, reply| login.receive(input, context, reply))
    }

    /// The user was looked up.
    fn learn(&mut self, credential: Credential) -> LoginStep {
        self.step(&[], |login, context, reply| login.credential_found(credential, context, reply))
    }

    fn step(
        &mut self,
        input: &[u8],
        take: impl FnOnce(&mut ClientLogin, &mut LoginContext<'_>, &mut Pieces) -> LoginStep,
    ) -> LoginStep {
        let mut reply = Pieces::default();
        let mut entropy = |out: &mut [u8]| out.fill(5);
        let mut context = LoginContext { credentials: &self.users, entropy: &mut entropy };
        let step = take(&mut self.login, &mut context, &mut reply);
        self.said.extend(reply.to_vec(input));
        step
    }

    /// What was said since the last call.
    fn said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }
}

fn startup_packet(version: ProtocolVersion, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let pairs = parameters.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    startup::push_startup(&mut out, version, pairs).expect("it can be encoded");
    out
}

fn ssl_request() -> Vec<u8> {
    let mut out = Vec::new();
    startup::push_ssl_request(&mut out);
    out
}

fn gssenc_request() -> Vec<u8> {
    let mut out = Vec::new();
    startup::push_gssenc_request(&mut out);
    out
}

fn startup_of(user: &str) -> Vec<u8> {
    startup_packet(ProtocolVersion::V3_0, &[("user", user), ("database", "shop")])
}

fn messages(mut bytes: &[u8]) -> Vec<(Tag, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        let length = rest.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
        let (body, rest) = rest.split_at(length.expect("a whole header"));
        found.push((Tag::from_byte(tag).expect("a backend message"), body[4..].to_vec()));
        bytes = rest;
    }
    found
}

/// The step of SASL that the gate said, and nothing else.
fn sasl_step(said: &[u8]) -> Vec<u8> {
    let [(tag, body)] = &messages(said)[..] else { panic!("one message") };
    match Message::decode(*tag, body) {
        Ok(Message::Authentication(Authentication::SaslContinue(step))) => step.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The mechanisms that the gate offered, when it said nothing else.
fn offered(said: &[u8]) -> Vec<String> {
    let [(tag, body)] = &messages(said)[..] else { panic!("one message") };
    match Message::decode(*tag, body) {
        Ok(Message::Authentication(Authentication::Sasl { mechanisms })) => {
            mechanisms.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Logs in as an application does, up to where it is refused or in. `mechanism` is what it
/// chooses. Also says how many messages the gate sent.
fn log_in(gate: &mut Gate, user: &str, password: &str, mechanism: &str) -> (LoginStep, usize) {
    assert!(matches!(gate.hear(&startup_of(user)), LoginStep::More));
    prove(gate, password, mechanism, ChannelBinding::NotSupported)
}

/// The same from the offer on.
fn prove(
    gate: &mut Gate,
    password: &str,
    mechanism: &str,
    binding: ChannelBinding,
) -> (LoginStep, usize) {
    assert!(!offered(&gate.said()).is_empty());
    let secret = ClientSecret::Password(password.as_bytes().to_vec());
    let (first, message) = ClientFirst::new(secret, scram::nonce(&[1; 18]), binding);
    let mut initial = Vec::new();
    SaslInitial { mechanism: mechanism.as_bytes(), response: Some(&message) }
        .encode(&mut initial)
        .expect("it can be encoded");
    let step = gate.hear(&initial);
    if !matches!(step, LoginStep::More) {
        return (step, 1);
    }
    let needs = first.on_server_first(&sasl_step(&gate.said())).expect("server-first");
    let keys = needs.derive().expect("keys");
    let (server, message) = needs.answer(&keys).expect("client-final");
    let mut response = Vec::new();
    frontend::push_sasl_response(&mut response, &message);
    let step = gate.hear(&response);
    let last = messages(&gate.said());
    if let Some((tag, body)) = last.first() {
        match Message::decode(*tag, body) {
            Ok(Message::Authentication(Authentication::SaslFinal(step))) => {
                server.on_server_final(step).expect("the gate proves itself, too");
            }
            other => panic!("{other:?}"),
        }
    }
    (step, 2 + last.len())
}

#[test]
fn the_right_password_is_let_in() {
    let (step, said) = log_in(&mut Gate::new(), "app", "secret", SCRAM);
    let LoginStep::Done(logged_in) = step else { panic!("{step:?}") };
    assert_eq!((&*logged_in.user, &*logged_in.database), ("app", "shop"));
    assert_eq!(said, 4, "offer, server-first, server-final, AuthenticationOk");
    let keys = SaltedKeys::derive(b"secret", b"salt of app 1234", 4096);
    assert_eq!(logged_in.keys, Some(keys), "the proof yields what logs in elsewhere");
}

#[test]
fn an_unknown_user_is_asked_and_refused_as_one_with_a_wrong_password_is() {
    let mut seen = Vec::new();
    for user in ["app", "nobody"] {
        let mut gate = Gate::new();
        let (step, said) = log_in(&mut gate, user, "wrong", SCRAM);
        let LoginStep::Refused(refusal, complaint) = step else { panic!("{step:?}") };
        let message = complaint.message.replace(user, "");
        seen.push((refusal, complaint.sqlstate, message, complaint.detail, complaint.hint, said));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].0, Refusal::Auth);
}

#[test]
fn an_unknown_user_has_the_same_salt_each_time() {
    let salt = || {
        let mut gate = Gate::new();
        gate.hear(&startup_of("nobody"));
        gate.said();
        let mut initial = Vec::new();
        let response: Option<&[u8]> = Some(b"n,,n=,r=abcdefgh");
        SaslInitial { mechanism: SCRAM.as_bytes(), response }.encode(&mut initial).expect("ok");
        gate.hear(&initial);
        let said = String::from_utf8(sasl_step(&gate.said())).expect("text");
        said.split_once(",s=").expect("a salt").1.to_owned()
    };
    assert_eq!(salt(), salt());
    assert!(salt().ends_with(",i=4096"));
}

#[test]
fn a_mechanism_that_was_not_offered_is_refused() {
    for mechanism in ["SCRAM-SHA-256-PLUS", "PLAIN", ""] {
        let (step, _) = log_in(&mut Gate::new(), "app", "secret", mechanism);
        assert!(matches!(step, LoginStep::Refused(Refusal::Auth, _)), "{mechanism}: {step:?}");
    }
}

#[test]
fn a_client_may_wait_to_be_asked_for_its_first_step() {
    let mut gate = Gate::new();
    gate.hear(&startup_of("app"));
    gate.said();
    let mut initial = Vec::new();
    SaslInitial { mechanism: SCRAM.as_bytes(), response: None }.encode(&mut initial).expect("ok");
    assert!(matches!(gate.hear(&initial), LoginStep::More));
    assert_eq!(sasl_step(&gate.said()), b"", "an empty challenge asks for it");
    let mut first = Vec::new();
    frontend::push_sasl_response(&mut first, b"n,,n=,r=abcdefgh");
    assert!(matches!(gate.hear(&first), LoginStep::More));
    assert!(sasl_step(&gate.said()).starts_with(b"r=abcdefgh"));
}

#[test]
fn a_user_without_password_is_let_in_at_once_with_what_it_asked_for() {
    let mut gate = Gate::new();
    let parameters = [
        ("user", "guest"),
        ("application_name", "shop"),
        ("options", "-c search_path=a --statement-timeout=5s"),
        ("replication", "false"),
    ];
    let step = gate.hear(&startup_packet(ProtocolVersion::V3_0, &parameters));
    let LoginStep::Done(logged_in) = step else { panic!("{step:?}") };
    assert_eq!(&*logged_in.database, "guest", "it defaults to the user's name");
    let found: Vec<_> = logged_in.parameters.iter().collect();
    let expected =
        [("application_name", "shop"), ("search_path", "a"), ("statement_timeout", "5s")];
    assert_eq!(found, expected);
    let mut ok = Vec::new();
    backend::push_auth_ok(&mut ok);
    assert_eq!(gate.said(), ok);
    assert_eq!(logged_in.keys, None);
}

#[test]
fn encryption_is_declined_once_each_and_the_login_goes_on() {
    let mut gate = Gate::new();
    let (ssl, gss) = (ssl_request(), gssenc_request());
    assert!(matches!(gate.hear(&gss), LoginStep::More));
    assert!(matches!(gate.hear(&ssl), LoginStep::More));
    assert_eq!(gate.said(), b"NN");
    assert!(!gate.login.has_spoken());
    assert!(matches!(gate.hear(&startup_of("guest")), LoginStep::Done(_)));
    assert!(gate.login.has_spoken());
    for request in [ssl, gss] {
        let mut gate = Gate::new();
        gate.hear(&request);
        let step = gate.hear(&request);
        assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{step:?}");
    }
}

#[test]
fn a_request_to_cancel_is_passed_on_unanswered() {
    for secret in [&[1, 2, 3, 4][..], &[7; 32]] {
        let mut packet = Vec::new();
        startup::push_cancel_request(&mut packet, 77, secret);
        let mut gate = Gate::new();
        match gate.hear(&packet) {
            LoginStep::Cancel { pid: 77, secret: told } => assert_eq!(told, secret),
            other => panic!("{other:?}"),
        }
        assert!(gate.said().is_empty());
    }
}

#[test]
fn replication_is_not_offered() {
    for value in ["true", "on", "yes", "1", "database", "T"] {
        let parameters = [("user", "guest"), ("replication", value)];
        let step = Gate::new().hear(&startup_packet(ProtocolVersion::V3_0, &parameters));
        assert!(matches!(step, LoginStep::Refused(Refusal::NotOffered, _)), "{value}: {step:?}");
    }
}

#[test]
fn versions_and_options_are_negotiated() {
    let version = |minor| ProtocolVersion { major: 3, minor };
    // What is asked for, what is spoken, whether the client is told.
    for (asked, spoken, told) in [(0, 0, false), (2, 2, false), (9, 2, true)] {
        for options in [&[][..], &[("_pq_.compression", "zstd")]] {
            let mut parameters = vec![("user", "guest")];
            parameters.extend_from_slice(options);
            let mut gate = Gate::new();
            let step = gate.hear(&startup_packet(version(asked), &parameters));
            let LoginStep::Done(logged_in) = step else { panic!("{step:?}") };
            assert_eq!(logged_in.version, version(spoken));
            assert!(logged_in.parameters.is_empty(), "an option is no setting");
            let tags: Vec<_> = messages(&gate.said()).into_iter().map(|(tag, _)| tag).collect();
            if told || !options.is_empty() {
                assert_eq!(tags, [Tag::NegotiateProtocolVersion, Tag::Authentication]);
            } else {
                assert_eq!(tags, [Tag::Authentication]);
            }
        }
    }
    let step = Gate::new()
        .hear(&startup_packet(ProtocolVersion { major: 4, minor: 0 }, &[("user", "guest")]));
    let LoginStep::Refused(Refusal::Startup, complaint) = step else { panic!("{step:?}") };
    assert!(complaint.message.starts_with("unsupported frontend protocol 4.0"));
}

#[test]
fn garbage_is_refused_as_soon_as_it_is_seen_to_be() {
    for first in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00", &[0; 8], &[0, 0, 0, 7]] {
        let step = Gate::new().hear(first);
        assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{first:?}: {step:?}");
    }
    let mut missing_user = Vec::new();
    startup::push_startup(
        &mut missing_user,
        ProtocolVersion::V3_0,
        [(&b"database"[..], &b"x"[..])],
    )
    .expect("ok");
    let step = Gate::new().hear(&missing_user);
    assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{step:?}");
}

#[test]
fn what_is_no_password_or_too_long_is_refused_and_nothing_is_read_after_it() {
    let mut query = Vec::new();
    frontend::push_query(&mut query, b"select 1");
    let mut long = Vec::new();
    frontend::push_password(&mut long, &[b'x'; 2000]);
    for wrong in [query, long, b"p\0\0\0\x03".to_vec()] {
        let mut gate = Gate::new();
        gate.hear(&startup_of("app"));
        let step = gate.hear(&wrong);
        assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{step:?}");
        assert!(matches!(gate.hear(&startup_of("guest")), LoginStep::More));
    }
}

#[test]
fn a_startup_cut_anywhere_is_the_same_and_what_follows_it_is_kept() {
    let mut stream = [ssl_request(), startup_of("guest")].concat();
    let login_bytes = stream.len();
    frontend::push_query(&mut stream, b"select 1");
    for cut in 0..=stream.len() {
        let mut gate = Gate::new();
        let mut rest = Vec::new();
        let mut done: Option<LoggedIn> = None;
        for part in [&stream[..cut], &stream[cut..]] {
            if done.is_some() {
                rest.extend_from_slice(part); // The machine is no longer asked.
            } else if let LoginStep::Done(mut logged_in) = gate.hear(part) {
                rest.append(&mut logged_in.rest);
                done = Some(logged_in);
            }
        }
        assert_eq!(done.map(|done| done.user), Some(Arc::from("guest")), "cut at {cut}");
        assert_eq!(rest, stream[login_bytes..], "cut at {cut}");
    }
}

// --- TLS towards a client. ---

#[test]
fn tls_starts_on_request_where_it_is_offered() {
    for offer in [TlsOffer::Allow, TlsOffer::Require] {
        for before in [Vec::new(), gssenc_request()] {
            let mut gate = Gate::offering(offer);
            match gate.hear(&[before, ssl_request()].concat()) {
                LoginStep::StartTls { start: TlsStart::Negotiated, received } => {
                    assert!(received.is_empty());
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(gate.said().last(), Some(&b'S'));
            gate.login.secured(None);
            assert!(matches!(gate.hear(&startup_of("guest")), LoginStep::Done(_)));
        }
    }
}

#[test]
fn plaintext_between_the_request_for_tls_and_its_beginning_is_refused() {
    let stream = [ssl_request(), startup_of("guest")].concat();
    for offer in [TlsOffer::Allow, TlsOffer::Require] {
        for cut in 0..stream.len() {
            let mut gate = Gate::offering(offer);
            let first = gate.hear(&stream[..cut]);
            let step = if matches!(first, LoginStep::Refused(..)) {
                first
            } else {
                gate.hear(&stream[cut..])
            };
            let LoginStep::Refused(Refusal::Startup, complaint) = step else {
                panic!("cut at {cut}: {step:?}");
            };
            assert_eq!(complaint.message, "received unencrypted data after a request for TLS");
            // Nor is it believed later.
            gate.login.secured(None);
            assert!(matches!(gate.hear(&startup_of("guest")), LoginStep::More));
        }
    }
}

/// How a TLS 1.3 ClientHello begins.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[test]
fn tls_may_begin_without_a_request() {
    for offer in [TlsOffer::Allow, TlsOffer::Require] {
        for cut in 0..CLIENT_HELLO.len() {
            let mut gate = Gate::offering(offer);
            let mut handshake = Vec::new();
            let mut starts = Vec::new();
            for part in [&CLIENT_HELLO[..cut], &CLIENT_HELLO[cut..]] {
                if !starts.is_empty() {
                    handshake.extend_from_slice(part); // The machine is no longer asked.
                } else if let LoginStep::StartTls { start, received } = gate.hear(part) {
                    handshake.extend(received);
                    starts.push(start);
                }
            }
            assert_eq!(starts, [TlsStart::Direct], "cut at {cut}");
            assert_eq!(handshake, CLIENT_HELLO, "cut at {cut}");
            assert!(gate.said().is_empty());
            gate.login.secured(Some(end_point(1)));
            assert!(matches!(gate.hear(&startup_of("app")), LoginStep::More));
            assert_eq!(offered(&gate.said()), [PLUS, SCRAM]);
        }
    }
}

#[test]
fn tls_begins_only_where_a_connection_does() {
    let declined_gss = || {
        let mut gate = Gate::offering(TlsOffer::Allow);
        gate.hear(&gssenc_request());
        gate
    };
    let no_tls = b"\x16\x04\x01\x02";
    for (mut gate, hello) in [
        (Gate::new(), CLIENT_HELLO),
        (declined_gss(), CLIENT_HELLO),
        (Gate::inside_tls(None), CLIENT_HELLO),
        (Gate::offering(TlsOffer::Allow), no_tls),
    ] {
        let step = gate.hear(hello);
        assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{step:?}");
    }
}

#[test]
fn encryption_is_not_requested_again_inside_tls() {
    let step = Gate::inside_tls(None).hear(&ssl_request());
    assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{step:?}");
    let mut gate = Gate::inside_tls(None);
    assert!(matches!(gate.hear(&gssenc_request()), LoginStep::More));
    assert_eq!(gate.said(), b"N");
    assert!(matches!(gate.hear(&startup_of("guest")), LoginStep::Done(_)));
}

#[test]
fn a_port_that_requires_tls_says_so_to_whoever_comes_without() {
    for before in [Vec::new(), gssenc_request()] {
        let mut gate = Gate::offering(TlsOffer::Require);
        let step = gate.hear(&[before, startup_of("guest")].concat());
        let LoginStep::Refused(Refusal::TlsRequired, complaint) = step else { panic!("{step:?}") };
        assert_eq!(
            (complaint.code, complaint.sqlstate.to_string()),
            (Code::TlsRequired, "28000".into())
        );
        assert!(complaint.hint.expect("a remedy").contains("sslmode=require"));
        assert!(gate.login.has_spoken());
    }
    let mut gate = Gate::offering(TlsOffer::Allow);
    assert!(matches!(gate.hear(&startup_of("guest")), LoginStep::Done(_)));
}

#[test]
fn a_request_to_cancel_needs_no_tls() {
    let mut packet = Vec::new();
    startup::push_cancel_request(&mut packet, 77, &[1, 2, 3, 4]);
    let gates = [TlsOffer::Off, TlsOffer::Allow, TlsOffer::Require].map(Gate::offering);
    for mut gate in gates.into_iter().chain([Gate::inside_tls(None)]) {
        assert!(matches!(gate.hear(&packet), LoginStep::Cancel { pid: 77, .. }));
        assert!(gate.said().is_empty());
    }
}

#[test]
fn channel_binding_is_offered_where_there_is_something_to_bind_to() {
    for user in ["app", "nobody"] {
        for (mut gate, expected) in [
            (Gate::inside_tls(Some(end_point(1))), &[PLUS, SCRAM][..]),
            (Gate::inside_tls(None), &[SCRAM]),
            (Gate::offering(TlsOffer::Allow), &[SCRAM]),
            (Gate::new(), &[SCRAM]),
        ] {
            gate.hear(&startup_of(user));
            assert_eq!(offered(&gate.said()), expected, "{user}");
        }
    }
}

#[test]
fn channel_binding_decides_the_same_for_every_user() {
    let bound = |byte| ChannelBinding::EndPoint(end_point(byte));
    let (n, y) = (ChannelBinding::NotSupported, ChannelBinding::SupportedButUnused);
    // What the gate sent, what the client chooses and says, the code of the refusal.
    let table = [
        (Some(1), PLUS, bound(1), None),
        (Some(1), PLUS, bound(2), Some(Code::ChannelBinding)),
        (Some(1), PLUS, n.clone(), Some(Code::ChannelBinding)),
        (Some(1), PLUS, y.clone(), Some(Code::ChannelBinding)),
        (Some(1), SCRAM, n.clone(), None),
        (Some(1), SCRAM, y.clone(), Some(Code::ChannelBinding)),
        (Some(1), SCRAM, bound(1), Some(Code::ChannelBinding)),
        (None, SCRAM, n.clone(), None),
        (None, SCRAM, y, None),
        (None, SCRAM, bound(1), Some(Code::ChannelBinding)),
        (None, PLUS, bound(1), Some(Code::LoginFailed)),
        (None, PLUS, n, Some(Code::LoginFailed)),
    ];
    for (sent, chosen, binding, refusal) in table {
        for user in ["app", "nobody"] {
            let mut gate = Gate::inside_tls(sent.map(end_point));
            gate.hear(&startup_of(user));
            let (step, _) = prove(&mut gate, "secret", chosen, binding.clone());
            let case = format!("{user} got {sent:?}, chose {chosen}, said {binding:?}: {step:?}");
            let expected = refusal.or((user == "nobody").then_some(Code::LoginFailed));
            match (step, expected) {
                (LoginStep::Done(_), None) => {}
                (LoginStep::Refused(Refusal::Auth, complaint), Some(code)) => {
                    assert_eq!(complaint.code, code, "{case}");
                }
                _ => panic!("{case}"),
            }
        }
    }
}

#[test]
fn a_refused_binding_says_why() {
    let mut gate = Gate::inside_tls(Some(end_point(1)));
    gate.hear(&startup_of("app"));
    let (step, _) = prove(&mut gate, "secret", SCRAM, ChannelBinding::SupportedButUnused);
    let LoginStep::Refused(_, complaint) = step else { panic!("{step:?}") };
    assert_eq!(
        complaint.detail.as_deref(),
        Some(
            "The cause: the client supports channel binding and thinks that the server does not, \
             but it was offered."
        )
    );
}

#[test]
fn a_bound_login_cut_anywhere_is_the_same() {
    let mut stream = startup_of("app");
    let secret = || ClientSecret::Password(b"secret".to_vec());
    let binding = || ChannelBinding::EndPoint(end_point(1));
    let (first, message) = ClientFirst::new(secret(), scram::nonce(&[1; 18]), binding());
    SaslInitial { mechanism: PLUS.as_bytes(), response: Some(&message) }
        .encode(&mut stream)
        .expect("it can be encoded");
    // What the gate says is the same each time, so that the client can answer beforehand.
    let mut gate = Gate::inside_tls(Some(end_point(1)));
    gate.hear(&startup_of("app"));
    gate.said();
    gate.hear(&stream[startup_of("app").len()..]);
    let needs = first.on_server_first(&sasl_step(&gate.said())).expect("server-first");
    let keys = needs.derive().expect("keys");
    frontend::push_sasl_response(&mut stream, &needs.answer(&keys).expect("client-final").1);
    for cut in 0..stream.len() {
        let mut gate = Gate::inside_tls(Some(end_point(1)));
        assert!(matches!(gate.hear(&stream[..cut]), LoginStep::More), "cut at {cut}");
        match gate.hear(&stream[cut..]) {
            LoginStep::Done(logged_in) => assert_eq!(logged_in.keys.as_ref(), Some(&keys)),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

// --- Users that are looked up. ---

#[test]
fn a_user_that_must_be_looked_up_waits_and_goes_on_as_others_do() {
    let mut gate = Gate::inside_tls(Some(end_point(1)));
    match gate.hear(&startup_of("looked_up")) {
        LoginStep::NeedsCredential { user, database } => {
            assert_eq!((&*user, &*database), ("looked_up", "shop"));
        }
        other => panic!("{other:?}"),
    }
    assert!(gate.said().is_empty());
    let known = Credential::Verifier(gate.users.app.clone());
    assert!(matches!(gate.learn(known), LoginStep::More));
    let binding = ChannelBinding::EndPoint(end_point(1));
    let (step, _) = prove(&mut gate, "secret", PLUS, binding);
    let LoginStep::Done(logged_in) = step else { panic!("{step:?}") };
    assert_eq!(&*logged_in.user, "looked_up");
    assert!(logged_in.keys.is_some());
}

#[test]
fn a_looked_up_user_that_does_not_exist_is_refused_as_one_with_a_wrong_password_is() {
    let mut seen = Vec::new();
    let app = Credential::Verifier(Users::new().app);
    for (user, credential) in [("looked_up", app), ("not_looked_up", unknown_user("not_looked_up"))]
    {
        let mut gate = Gate::new();
        gate.hear(&startup_of(user));
        gate.learn(credential);
        let (step, said) = prove(&mut gate, "wrong", SCRAM, ChannelBinding::NotSupported);
        let LoginStep::Refused(refusal, complaint) = step else { panic!("{step:?}") };
        let message = complaint.message.replace(user, "");
        seen.push((refusal, complaint.sqlstate, message, complaint.detail, complaint.hint, said));
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn what_is_sent_during_a_lookup_is_kept_up_to_a_limit() {
    let mut stream = startup_of("looked_up");
    let login_bytes = stream.len();
    frontend::push_query(&mut stream, b"select 1");
    for cut in 0..=stream.len() {
        let mut gate = Gate::new();
        let steps = [gate.hear(&stream[..cut]), gate.hear(&stream[cut..])];
        let asked = |step: &&LoginStep| matches!(step, LoginStep::NeedsCredential { .. });
        assert_eq!(steps.iter().filter(asked).count(), 1, "cut at {cut}");
        match gate.learn(Credential::Nothing) {
            LoginStep::Done(done) => assert_eq!(done.rest, stream[login_bytes..], "cut at {cut}"),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    let most = [0; 16 * 1024];
    let mut gate = Gate::new();
    gate.hear(&startup_of("looked_up"));
    assert!(matches!(gate.hear(&most), LoginStep::More));
    let step = gate.hear(&[0]);
    assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{step:?}");
    assert!(matches!(gate.learn(Credential::Nothing), LoginStep::More), "it is over");
    let step = Gate::new().hear(&[&startup_of("looked_up")[..], &most, &[0]].concat());
    assert!(matches!(step, LoginStep::Refused(Refusal::Startup, _)), "{step:?}");
}

#[test]
fn nobody_is_let_in_by_what_was_not_asked_for() {
    let mut gate = Gate::new();
    assert!(matches!(gate.learn(Credential::Nothing), LoginStep::More));
    gate.hear(&startup_of("app"));
    assert!(matches!(gate.learn(Credential::Nothing), LoginStep::More));
    let (step, _) = prove(&mut gate, "secret", SCRAM, ChannelBinding::NotSupported);
    assert!(matches!(step, LoginStep::Done(_)), "{step:?}");
    // Nor does it take a plain connection for an encrypted one.
    let mut gate = Gate::offering(TlsOffer::Require);
    gate.login.secured(None);
    let step = gate.hear(&startup_of("guest"));
    assert!(matches!(step, LoginStep::Refused(Refusal::TlsRequired, _)), "{step:?}");
}

// --- Tidegate's own login. ---

/// PostgreSQL, as far as the script goes: it hears nothing, its words are given.
struct Dialer {
    login: ServerLogin,
    said: Vec<u8>,
}

fn dialer(password: Option<&str>, keys: Option<SaltedKeys>, probe: bool) -> Dialer {
    let secret = match password {
        Some(password) => Secret::Password { password: password.into(), keys },
        None => Secret::Nothing,
    };
    let mut dialer = Dialer::new(secret, TlsNegotiation::Off, BindChannel::Prefer, probe);
    assert!(matches!(dialer.connect(), ServerStep::More));
    dialer
}

fn password() -> Secret {
    Secret::Password { password: "secret".into(), keys: None }
}

type Outcome = Result<ServerStep, LoginFailure>;

impl Dialer {
    fn new(secret: Secret, tls: TlsNegotiation, binding: BindChannel, probe: bool) -> Self {
        let pairs = [(&b"application_name"[..], &b"shop"[..])];
        let parameters = SessionSettings::new(pairs).expect("valid");
        let settings = ServerLoginSettings {
            database: "shop".into(),
            user: "app".into(),
            secret,
            tls,
            channel_binding: binding,
            parameters: &parameters,
            nonce: &[3; 18],
            probe,
            asks_role: false,
        };
        Self { login: ServerLogin::new(settings), said: Vec::new() }
    }

    /// One whose TLS handshake is over; the server sent a certificate of this end point.
    fn inside_tls(secret: Secret, binding: BindChannel, sent: Option<EndPoint>) -> Self {
        let mut dialer = Self::new(secret, TlsNegotiation::Require, binding, false);
        assert!(matches!(dialer.connect(), ServerStep::More));
        assert!(matches!(dialer.hear_bytes(b"S"), Ok(ServerStep::StartTls)));
        dialer.secure(sent);
        dialer.said();
        dialer
    }

    fn connect(&mut self) -> ServerStep {
        let mut out = Pieces::default();
        let step = self.login.connected(&mut out);
        self.said.extend(out.to_vec(&[]));
        step
    }

    fn secure(&mut self, sent: Option<EndPoint>) {
        let mut out = Pieces::default();
        self.login.secured(sent, &mut out);
        self.said.extend(out.to_vec(&[]));
    }

    fn hear(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        let mut input = Vec::new();
        write(&mut input);
        self.hear_bytes(&input)
    }

    /// Derives keys at once when they are needed.
    fn hear_bytes(&mut self, input: &[u8]) -> Outcome {
        match self.hear_only(input) {
            Ok(ServerStep::Derive(derivation)) => self.derive(derivation.derive()),
            outcome => outcome,
        }
    }

    fn hear_only(&mut self, input: &[u8]) -> Outcome {
        let mut out = Pieces::default();
        let outcome = self.login.receive(input, &mut out);
        self.said.extend(out.to_vec(input));
        outcome
    }

    fn derive(&mut self, keys: SaltedKeys) -> Outcome {
        let mut out = Pieces::default();
        let outcome = self.login.derived(keys, &mut out);
        self.said.extend(out.to_vec(&[]));
        outcome
    }

    fn said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }
}

/// What PostgreSQL says once it knows who it is.
fn push_welcome(out: &mut Vec<u8>) {
    backend::push_auth_ok(out);
    backend::push_parameter_status(out, b"TimeZone", b"UTC");
    backend::push_backend_key_data(out, 4711, &[1, 2, 3, 4]);
    backend::push_ready(out, TransactionStatus::Idle);
}

fn password_message(password: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::push_password(&mut out, password);
    out
}

#[track_caller]
fn done(outcome: Outcome) -> server_login::LoggedIn {
    match outcome {
        Ok(ServerStep::Done(logged_in)) => *logged_in,
        other => panic!("the login is not complete: {other:?}"),
    }
}

#[test]
fn trust_needs_no_password_and_the_startup_packet_carries_the_parameters() {
    let mut dialer = dialer(None, None, false);
    let expected = startup_packet(
        ProtocolVersion::V3_0,
        &[("user", "app"), ("database", "shop"), ("application_name", "shop")],
    );
    assert_eq!(dialer.said(), expected);
    let logged_in = done(dialer.hear(push_welcome));
    assert_eq!((logged_in.pid, &*logged_in.secret), (4711, &[1, 2, 3, 4][..]));
    assert_eq!(logged_in.reported.value("TimeZone"), Some(&b"UTC"[..]));
    assert_eq!(logged_in.is_direct, None);
    assert!(dialer.said().is_empty());
}

#[test]
fn a_cleartext_password_and_an_md5_one_are_given_when_asked_for() {
    let mut dialer = dialer(Some("secret"), None, false);
    dialer.said();
    assert!(matches!(dialer.hear(backend::push_auth_cleartext), Ok(ServerStep::More)));
    assert_eq!(dialer.said(), password_message(b"secret"));
    done(dialer.hear(push_welcome));

    let mut dialer = self::dialer(Some("secret"), None, false);
    dialer.said();
    assert!(matches!(
        dialer.hear(|out| backend::push_auth_md5(out, [1, 2, 3, 4])),
        Ok(ServerStep::More)
    ));
    let response = md5::response(b"app", b"secret", [1, 2, 3, 4]);
    assert_eq!(dialer.said(), password_message(response.as_bytes()));
    done(dialer.hear(push_welcome));
}

/// Plays PostgreSQL's side of SCRAM up to server-final. `Err` when the proof was wrong.
fn scram_with(dialer: &mut Dialer, verifier: Verifier) -> Result<Vec<u8>, ()> {
    dialer.said();
    let offer = |out: &mut Vec<u8>| backend::push_auth_sasl(out, &["SCRAM-SHA-256-PLUS", SCRAM]);
    assert!(matches!(dialer.hear(offer), Ok(ServerStep::More)));
    let said = dialer.said();
    let initial = SaslInitial::decode(&said[5..]).expect("a SASLInitialResponse");
    assert_eq!(initial.mechanism, SCRAM.as_bytes());
    let first = ServerFirst::new(verifier, scram::nonce(&[8; 18]), None);
    let response = initial.response.expect("given");
    let (proof, message) = first.on_client_first(Mechanism::Plain, response).expect("first");
    assert!(matches!(
        dialer.hear(|out| backend::push_auth_sasl_continue(out, &message)),
        Ok(ServerStep::More)
    ));
    let said = dialer.said();
    proof.on_client_final(&said[5..]).map(|(_, message)| message).map_err(drop)
}

#[test]
fn scram_proves_both_sides_and_keeps_the_keys() {
    let verifier = Verifier::from_password(b"secret", b"0123456789abcdef", 4096);
    let mut dialer = dialer(Some("secret"), None, false);
    let last = scram_with(&mut dialer, verifier.clone()).expect("the right proof");
    assert!(matches!(
        dialer.hear(|out| backend::push_auth_sasl_final(out, &last)),
        Ok(ServerStep::More)
    ));
    let keys = done(dialer.hear(push_welcome)).keys.expect("keys were derived");
    // The next login needs no derivation, and so derives none.
    let mut dialer = self::dialer(Some("secret"), Some(keys.clone()), false);
    let last = scram_with(&mut dialer, verifier).expect("the right proof");
    assert!(matches!(
        dialer.hear(|out| backend::push_auth_sasl_final(out, &last)),
        Ok(ServerStep::More)
    ));
    assert!(done(dialer.hear(push_welcome)).keys.is_none());
    // Keys for another salt are of no use: the password is.
    let other = Verifier::from_password(b"secret", b"fedcba9876543210", 4096);
    let mut dialer = self::dialer(Some("secret"), Some(keys), false);
    scram_with(&mut dialer, other).expect("the right proof");
}

#[test]
fn an_upstream_that_does_not_know_the_password_is_not_believed() {
    let verifier = Verifier::from_password(b"secret", b"0123456789abcdef", 4096);
    let mut wrong = dialer(Some("wrong"), None, false);
    assert_eq!(scram_with(&mut wrong, verifier.clone()), Err(()));

    let mut dialer = dialer(Some("secret"), None, false);
    scram_with(&mut dialer, verifier.clone()).expect("the right proof");
    let forged = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let outcome = dialer.hear(|out| backend::push_auth_sasl_final(out, forged));
    assert!(matches!(outcome, Err(LoginFailure::Protocol(_))), "{outcome:?}");
    // Nor may it skip its proof.
    let mut dialer = self::dialer(Some("secret"), None, false);
    scram_with(&mut dialer, verifier).expect("the right proof");
    assert!(matches!(dialer.hear(backend::push_auth_ok), Err(LoginFailure::Protocol(_))));
}

#[test]
fn both_machines_agree_with_each_other() {
    let mut dialer = dialer(Some("secret"), None, false);
    let step = talk(&mut dialer, &mut Gate::new());
    assert!(matches!(step, Some(LoginStep::Done(_))), "{step:?}");
    assert!(matches!(dialer.hear_bytes(b"Z\0\0\0\x05I"), Ok(ServerStep::Done(_))));
}

#[test]
fn what_postgresql_wants_and_we_do_not_have_is_named() {
    let no_password = |method| LoginFailure::NoPassword { user: "app".into(), method };
    let failure = |write: fn(&mut Vec<u8>)| dialer(None, None, false).hear(write).err();
    assert_eq!(failure(backend::push_auth_cleartext), Some(no_password("cleartext")));
    assert_eq!(failure(|out| backend::push_auth_md5(out, [0; 4])), Some(no_password("md5")));
    let keys = || Secret::Keys(SaltedKeys::derive(b"secret", b"salt", 1));
    let keyed = |write: fn(&mut Vec<u8>)| {
        Dialer::inside_tls(keys(), BindChannel::Prefer, None).hear(write).err()
    };
    assert_eq!(keyed(backend::push_auth_cleartext), Some(no_password("cleartext")));
    assert_eq!(keyed(|out| backend::push_auth_md5(out, [0; 4])), Some(no_password("md5")));
    assert_eq!(failure(|out| backend::push_auth_sasl(out, &[SCRAM])), Some(no_password(SCRAM)));
    let unknown = failure(|out| backend::push_auth_sasl(out, &["OAUTHBEARER"]));
    assert_eq!(unknown, Some(LoginFailure::UnknownMethod("OAUTHBEARER".into())));
    let kerberos = failure(|out| out.extend(b"R\0\0\0\x08\0\0\0\x07"));
    assert_eq!(kerberos, Some(LoginFailure::UnknownMethod("number 7".into())));
}

#[test]
fn a_refusal_carries_its_code_and_words() {
    let report = Report {
        severity: Severity::Fatal,
        sqlstate: SqlState::from_bytes(b"53300").expect("a code"),
        message: "sorry, too many clients already",
        detail: None,
        hint: None,
    };
    let outcome = dialer(None, None, false).hear(|out| report.encode_error(out));
    let Err(LoginFailure::Refused(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.sqlstate, report.sqlstate);
    assert_eq!(error.message, report.message);
}

#[test]
fn messages_out_of_turn_end_the_login() {
    for wrong in
        [&b"Z\0\0\0\x05I"[..], b"K\0\0\0\x0c\0\0\0\x01abcd", b"D\0\0\0\x06\0\0", b"z\0\0\0\x04"]
    {
        let outcome = dialer(None, None, false).hear_bytes(wrong);
        assert!(matches!(outcome, Err(LoginFailure::Protocol(_))), "{wrong:?}: {outcome:?}");
    }
}

/// The answer to the question for the backend's pid.
fn push_pid(out: &mut Vec<u8>, pid: &str) {
    out.extend(b"T\0\0\0\x06\0\0");
    let length = u8::try_from(pid.len()).expect("short");
    out.extend([b'D', 0, 0, 0, 10 + length, 0, 1, 0, 0, 0, length]);
    out.extend(pid.as_bytes());
    backend::push_command_complete(out, b"SELECT 1");
    backend::push_ready(out, TransactionStatus::Idle);
}

#[test]
fn the_probe_tells_postgresql_from_a_pooler() {
    for (pid, expected) in [("4711", Some(true)), ("99", Some(false)), ("none", None)] {
        let mut dialer = dialer(None, None, true);
        dialer.said();
        assert!(matches!(dialer.hear(push_welcome), Ok(ServerStep::More)));
        let mut probe = Vec::new();
        frontend::push_query(&mut probe, b"SELECT pg_catalog.pg_backend_pid()");
        assert_eq!(dialer.said(), probe);
        assert_eq!(done(dialer.hear(|out| push_pid(out, pid))).is_direct, expected, "{pid}");
    }
}

#[test]
fn what_a_server_is_it_reports_or_is_asked() {
    let secret = || Secret::Nothing;
    let parameters = SessionSettings::default();
    let dialer = |probe| {
        let settings = ServerLoginSettings {
            database: "shop".into(),
            user: "app".into(),
            secret: secret(),
            tls: TlsNegotiation::Off,
            channel_binding: BindChannel::Prefer,
            parameters: &parameters,
            nonce: &[3; 18],
            probe,
            asks_role: true,
        };
        let mut dialer = Dialer { login: ServerLogin::new(settings), said: Vec::new() };
        assert!(matches!(dialer.connect(), ServerStep::More));
        dialer.said();
        dialer
    };
    for (standby, read_only) in [("on", "off"), ("off", "on"), ("off", "off")] {
        let expected = Role { is_standby: standby == "on", is_read_only: read_only == "on" };
        // PostgreSQL 14 and later: nothing is asked.
        let mut reports = dialer(false);
        let logged_in = done(reports.hear(|out| {
            backend::push_parameter_status(out, b"in_hot_standby", standby.as_bytes());
            let name = b"default_transaction_read_only";
            backend::push_parameter_status(out, name, read_only.as_bytes());
            push_welcome(out);
        }));
        assert_eq!(logged_in.role, Some(expected));
        assert_eq!(logged_in.is_direct, None);
        assert!(reports.said().is_empty());
        // Others, with the question of the probe or without.
        for probe in [false, true] {
            let mut asked = dialer(probe);
            assert!(matches!(asked.hear(push_welcome), Ok(ServerStep::More)));
            let said = asked.said();
            let sql = String::from_utf8_lossy(&said);
            assert!(sql.contains("pg_is_in_recovery()"), "{sql}");
            let standby = if expected.is_standby { "t" } else { "f" };
            let logged_in = done(asked.hear(|out| {
                let mut row = 3_u16.to_be_bytes().to_vec();
                for value in ["4711", standby, read_only] {
                    row.extend(u32::try_from(value.len()).expect("it is short").to_be_bytes());
                    row.extend(value.as_bytes());
                }
                out.push(b'D');
                out.extend(u32::try_from(row.len() + 4).expect("it is short").to_be_bytes());
                out.extend(row);
                backend::push_command_complete(out, b"SELECT 1");
                backend::push_ready(out, TransactionStatus::Idle);
            }));
            assert_eq!(logged_in.role, Some(expected));
            assert_eq!(logged_in.is_direct, probe.then_some(true));
        }
    }
}

#[test]
fn answers_cut_anywhere_are_the_same() {
    let mut stream = Vec::new();
    push_welcome(&mut stream);
    push_pid(&mut stream, "4711");
    for cut in 1..stream.len() {
        let mut dialer = dialer(None, None, true);
        assert!(matches!(dialer.hear_bytes(&stream[..cut]), Ok(ServerStep::More)), "cut at {cut}");
        assert_eq!(done(dialer.hear_bytes(&stream[cut..])).is_direct, Some(true), "cut at {cut}");
    }
}

#[test]
fn what_follows_the_login_in_the_same_read_is_kept() {
    let mut dialer = dialer(None, None, false);
    let mut status = Vec::new();
    backend::push_parameter_status(&mut status, b"TimeZone", b"CET");
    let logged_in = done(dialer.hear(|out| {
        push_welcome(out);
        out.extend_from_slice(&status);
    }));
    assert_eq!(logged_in.reported.value("TimeZone"), Some(&b"UTC"[..]));
    assert_eq!(logged_in.rest, status);
}

// --- TLS towards PostgreSQL. ---

#[test]
fn what_is_sent_first_depends_on_how_tls_is_asked_for() {
    use TlsNegotiation::{Direct, Off, Prefer, Require};
    let packet = startup_packet(
        ProtocolVersion::V3_0,
        &[("user", "app"), ("database", "shop"), ("application_name", "shop")],
    );
    // What is sent first; what is heard then; the step to which it leads; what is sent then.
    let table = [
        (Off, &packet[..], &b""[..], "More", &b""[..]),
        (Prefer, &ssl_request(), b"S", "StartTls", b""),
        (Prefer, &ssl_request(), b"N", "More", &packet),
        (Require, &ssl_request(), b"S", "StartTls", b""),
        (Require, &ssl_request(), b"N", "Err(Tls(NotOffered))", b""),
        (Require, &ssl_request(), b"E\0\0\0\x05\0", "Err(Tls(Error))", b""),
        (Prefer, &ssl_request(), b"SR", "Err(Tls(Injected))", b""),
        (Require, &ssl_request(), b"SR", "Err(Tls(Injected))", b""),
        (Direct, b"", b"", "StartTls", b""),
        (Direct, b"", b"R", "Err(Tls(Injected))", b""),
    ];
    for (tls, first, heard, expected, then) in table {
        let mut dialer = Dialer::new(password(), tls, BindChannel::Prefer, false);
        assert!(!dialer.login.is_connected());
        let mut step = Ok(dialer.connect());
        assert!(dialer.login.is_connected());
        assert_eq!(dialer.said(), first, "{tls:?}");
        if !heard.is_empty() {
            step = dialer.hear_bytes(heard);
        }
        let shown = match &step {
            Ok(step) => format!("{step:?}"),
            Err(error) => format!("Err({error:?})"),
        };
        assert_eq!(shown, expected, "{tls:?} {heard:?}");
        assert_eq!(dialer.said(), then, "{tls:?} {heard:?}");
        if let Ok(ServerStep::StartTls) = step {
            dialer.secure(None);
            assert_eq!(dialer.said(), packet, "{tls:?}");
            done(dialer.hear(push_welcome));
        }
    }
}

#[test]
fn plaintext_after_the_answer_for_tls_is_refused_when_it_comes_later_too() {
    let mut dialer = Dialer::new(password(), TlsNegotiation::Prefer, BindChannel::Prefer, false);
    dialer.connect();
    assert!(matches!(dialer.hear_bytes(b"S"), Ok(ServerStep::StartTls)));
    let outcome = dialer.hear(push_welcome);
    assert!(matches!(outcome, Err(LoginFailure::Tls(TlsFailure::Injected))), "{outcome:?}");
}

#[test]
fn a_pooler_that_is_full_before_it_speaks_of_tls_is_understood() {
    let report = Report {
        severity: Severity::Fatal,
        sqlstate: SqlState::from_bytes(b"08P01").expect("a code"),
        message: "no more connections allowed (max_client_conn)",
        detail: None,
        hint: None,
    };
    let mut stream = Vec::new();
    report.encode_error(&mut stream);
    for cut in 1..=stream.len() {
        let mut dialer =
            Dialer::new(password(), TlsNegotiation::Prefer, BindChannel::Prefer, false);
        dialer.connect();
        let mut outcome = dialer.hear_bytes(&stream[..cut]);
        if let Ok(ServerStep::More) = outcome {
            outcome = dialer.hear_bytes(&stream[cut..]);
        }
        let Err(LoginFailure::Refused(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.message, report.message);
    }
}

#[test]
fn the_mechanism_follows_the_offer_the_channel_and_the_setting() {
    use BindChannel::{Disable, Prefer, Require};
    let (plus, plain, both) = (&[PLUS][..], &[SCRAM][..], &[PLUS, SCRAM][..]);
    let bound = "SCRAM-SHA-256-PLUS p=tls-server-end-point,,";
    let (no_tls, no_end_point, not_offered) = (
        "channel binding is required, but the connection has no TLS",
        "channel binding is required, but the signature algorithm of the server's certificate has \
         no hash to bind to",
        "channel binding is required, but the server does not offer SCRAM-SHA-256-PLUS",
    );
    let unknown =
        "it wants an authentication method (SCRAM-SHA-256-PLUS) that Tidegate does not speak";
    // TLS and its end point, offer, setting, outcome.
    let table = [
        (Some(Some(1)), both, Prefer, bound),
        (Some(Some(1)), both, Require, bound),
        (Some(Some(1)), both, Disable, "SCRAM-SHA-256 n,,"),
        (Some(Some(1)), plus, Prefer, bound),
        (Some(Some(1)), plus, Disable, unknown),
        (Some(Some(1)), plain, Prefer, "SCRAM-SHA-256 y,,"),
        (Some(Some(1)), plain, Require, not_offered),
        (Some(Some(1)), plain, Disable, "SCRAM-SHA-256 n,,"),
        (Some(None), both, Prefer, "SCRAM-SHA-256 n,,"),
        (Some(None), both, Require, no_end_point),
        (Some(None), plain, Prefer, "SCRAM-SHA-256 n,,"),
        (Some(None), plus, Prefer, unknown),
        (None, both, Prefer, "SCRAM-SHA-256 n,,"),
        (None, both, Require, no_tls),
        (None, plain, Prefer, "SCRAM-SHA-256 n,,"),
        (None, plain, Disable, "SCRAM-SHA-256 n,,"),
    ];
    for (tls, offer, setting, expected) in table {
        let mut dialer = match tls {
            Some(sent) => Dialer::inside_tls(password(), setting, sent.map(end_point)),
            None => {
                let mut dialer = Dialer::new(password(), TlsNegotiation::Off, setting, false);
                dialer.connect();
                dialer.said();
                dialer
            }
        };
        let found = match dialer.hear(|out| backend::push_auth_sasl(out, offer)) {
            Ok(_) => {
                let said = dialer.said();
                let initial = SaslInitial::decode(&said[5..]).expect("a SASLInitialResponse");
                let response = String::from_utf8_lossy(initial.response.expect("given"));
                let (header, _) = response.split_once("n=").expect("a user name");
                format!("{} {header}", String::from_utf8_lossy(initial.mechanism))
            }
            Err(failure) => failure.to_string(),
        };
        assert_eq!(found, expected, "{tls:?} {offer:?} {setting:?}");
    }
}

#[test]
fn required_channel_binding_gives_no_password_to_a_server_that_wants_it_otherwise() {
    let mut requests = [const { Vec::new() }; 3];
    backend::push_auth_cleartext(&mut requests[0]);
    backend::push_auth_md5(&mut requests[1], [0; 4]);
    push_welcome(&mut requests[2]);
    for (request, method) in requests.iter().zip(["cleartext", "md5", "none"]) {
        let mut dialer = Dialer::inside_tls(password(), BindChannel::Require, Some(end_point(1)));
        let failure = dialer.hear_bytes(request).err();
        let expected = LoginFailure::ChannelBinding(Unbound::OtherMethod { method });
        assert_eq!(failure, Some(expected));
        assert!(dialer.said().is_empty());
    }
}

/// Lets the two machines talk until nobody has anything to say, or the gate refuses.
fn talk(dialer: &mut Dialer, gate: &mut Gate) -> Option<LoginStep> {
    for _ in 0..10 {
        let step = gate.hear(&dialer.said());
        if !matches!(step, LoginStep::More) {
            dialer.hear_bytes(&gate.said()).expect("the gate proves itself");
            return Some(step);
        }
        let said = gate.said();
        if said.is_empty() {
            break;
        }
        assert!(matches!(dialer.hear_bytes(&said), Ok(ServerStep::More)));
    }
    None
}

#[test]
fn both_machines_agree_over_tls_and_only_with_nobody_in_between() {
    use BindChannel::{Disable, Prefer, Require};
    // The gate's certificate, the one that the dialer saw, its setting, the refusal.
    let table = [
        (Some(1), Some(1), Prefer, None),
        (Some(1), Some(1), Require, None),
        (Some(1), Some(1), Disable, None),
        (Some(1), Some(2), Prefer, Some(Code::ChannelBinding)),
        (Some(1), Some(2), Require, Some(Code::ChannelBinding)),
        (Some(1), Some(2), Disable, None), // What it asked for.
        (Some(1), None, Prefer, None),
        (None, Some(1), Prefer, None),
        (None, None, Prefer, None),
    ];
    for (sent, seen, setting, refusal) in table {
        let mut dialer = Dialer::new(password(), TlsNegotiation::Require, setting, false);
        let mut gate = Gate::offering(TlsOffer::Require);
        dialer.connect();
        assert!(matches!(gate.hear(&dialer.said()), LoginStep::StartTls { .. }));
        assert!(matches!(dialer.hear_bytes(&gate.said()), Ok(ServerStep::StartTls)));
        gate.login.secured(sent.map(end_point));
        dialer.secure(seen.map(end_point));
        let step = talk(&mut dialer, &mut gate);
        match (step, refusal) {
            (Some(LoginStep::Done(_)), None) => {
                done(dialer.hear_bytes(b"Z\0\0\0\x05I"));
            }
            (Some(LoginStep::Refused(Refusal::Auth, complaint)), Some(code)) => {
                assert_eq!(complaint.code, code);
            }
            (other, _) => panic!("{sent:?} {seen:?} {setting:?}: {other:?}"),
        }
    }
}

#[test]
fn an_offer_that_somebody_removes_is_missed_by_the_other_side() {
    let mut dialer = Dialer::inside_tls(password(), BindChannel::Prefer, Some(end_point(1)));
    let mut gate = Gate::inside_tls(Some(end_point(1)));
    gate.hear(&startup_of("app"));
    assert_eq!(offered(&gate.said()), [PLUS, SCRAM]);
    dialer.hear(|out| backend::push_auth_sasl(out, &[SCRAM])).expect("it does as it is told");
    let step = gate.hear(&dialer.said());
    let LoginStep::Refused(Refusal::Auth, complaint) = step else { panic!("{step:?}") };
    assert_eq!(complaint.code, Code::ChannelBinding);
}

// --- Keys. ---

#[test]
fn a_proof_to_the_gate_logs_in_to_a_server_with_the_same_verifier_and_to_no_other() {
    let (step, _) = log_in(&mut Gate::new(), "app", "secret", SCRAM);
    let LoginStep::Done(logged_in) = step else { panic!("{step:?}") };
    let keys = logged_in.keys.expect("it gave a proof");
    let dialer = || {
        let secret = Secret::Keys(keys.clone());
        let mut dialer = Dialer::new(secret, TlsNegotiation::Off, BindChannel::Prefer, false);
        dialer.connect();
        dialer.said();
        dialer
    };
    let mut same = dialer();
    let last = scram_with(&mut same, Users::new().app).expect("the right proof");
    same.hear(|out| backend::push_auth_sasl_final(out, &last)).expect("the right signature");
    assert_eq!(done(same.hear(push_welcome)).keys, None, "none were derived");

    for other in [
        Verifier::from_password(b"secret", b"another salt 123", 4096),
        Verifier::from_password(b"secret", b"salt of app 1234", 4097),
    ] {
        let mut dialer = dialer();
        dialer.hear(|out| backend::push_auth_sasl(out, &[SCRAM])).expect("it goes on");
        let said = dialer.said();
        let initial = SaslInitial::decode(&said[5..]).expect("a SASLInitialResponse");
        let server = ServerFirst::new(other, "x".to_owned(), None);
        let response = initial.response.expect("given");
        let (_, first) = server.on_client_first(Mechanism::Plain, response).expect("first");
        let outcome = dialer.hear(|out| backend::push_auth_sasl_continue(out, &first));
        let Err(failure) = outcome else { panic!("{outcome:?}") };
        assert_eq!(failure, LoginFailure::KeysDoNotFit { user: "app".into() });
        assert!(failure.to_string().contains("give the user a password in the settings"));
        assert!(dialer.said().is_empty());
    }
}

/// Everything that a server says in a login by SCRAM, for the nonce of [`Dialer`].
fn scram_stream() -> [Vec<u8>; 3] {
    let mut dialer = dialer(Some("secret"), None, false);
    let verifier = Verifier::from_password(b"secret", b"0123456789abcdef", 4096);
    let first = ServerFirst::new(verifier, scram::nonce(&[8; 18]), None);
    let mut parts = [const { Vec::new() }; 3];
    backend::push_auth_sasl(&mut parts[0], &[SCRAM]);
    dialer.said();
    dialer.hear_bytes(&parts[0]).expect("it goes on");
    let said = dialer.said();
    let initial = SaslInitial::decode(&said[5..]).expect("a SASLInitialResponse");
    let response = initial.response.expect("given");
    let (proof, message) = first.on_client_first(Mechanism::Plain, response).expect("first");
    backend::push_auth_sasl_continue(&mut parts[1], &message);
    dialer.hear_bytes(&parts[1]).expect("it goes on");
    let (_, message) = proof.on_client_final(&dialer.said()[5..]).expect("the right proof");
    backend::push_auth_sasl_final(&mut parts[2], &message);
    push_welcome(&mut parts[2]);
    parts
}

#[test]
fn keys_are_derived_by_whoever_drives_the_login() {
    let [offer, first, rest] = scram_stream();
    let mut dialer = dialer(Some("secret"), None, false);
    assert!(matches!(dialer.hear_only(&offer), Ok(ServerStep::More)));
    let step = dialer.hear_only(&first);
    let Ok(ServerStep::Derive(derivation)) = step else { panic!("{step:?}") };
    assert_eq!(derivation.iterations(), 4096);
    let keys = derivation.derive();
    assert_eq!(keys, SaltedKeys::derive(b"secret", b"0123456789abcdef", 4096));
    dialer.said();
    // Nothing is read meanwhile, and nothing is lost.
    assert!(matches!(dialer.hear_only(b"N\0\0\0\x05\0"), Ok(ServerStep::More)));
    assert!(dialer.said().is_empty());
    assert!(matches!(dialer.derive(keys.clone()), Ok(ServerStep::More)));
    assert!(!dialer.said().is_empty());
    assert!(matches!(dialer.derive(keys.clone()), Ok(ServerStep::More)), "once is enough");
    assert!(dialer.said().is_empty());
    assert_eq!(done(dialer.hear_only(&rest)).keys, Some(keys));
}

#[test]
fn a_server_that_gives_up_while_keys_are_derived_is_heard() {
    let [offer, first, _] = scram_stream();
    let mut dialer = dialer(Some("secret"), None, false);
    dialer.hear_only(&[offer, first].concat()).expect("a derivation");
    let report = Report {
        severity: Severity::Fatal,
        sqlstate: SqlState::from_bytes(b"57P01").expect("a code"),
        message: "terminating connection due to administrator command",
        detail: None,
        hint: None,
    };
    let mut words = Vec::new();
    report.encode_error(&mut words);
    assert!(matches!(dialer.hear_only(&words), Ok(ServerStep::More)));
    let outcome = dialer.derive(SaltedKeys::derive(b"secret", b"0123456789abcdef", 4096));
    let Err(LoginFailure::Refused(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.sqlstate, report.sqlstate);
}

#[test]
fn a_server_that_floods_while_keys_are_derived_is_given_up() {
    let [offer, first, _] = scram_stream();
    let mut dialer = dialer(Some("secret"), None, false);
    dialer.hear_only(&[offer, first].concat()).expect("a derivation");
    assert!(matches!(dialer.hear_only(&[0; 64 * 1024]), Ok(ServerStep::More)));
    let outcome = dialer.hear_only(&[0]);
    assert!(matches!(outcome, Err(LoginFailure::Protocol(_))), "{outcome:?}");
}

#[test]
fn a_login_by_scram_cut_anywhere_is_the_same() {
    let stream = scram_stream().concat();
    let keys = SaltedKeys::derive(b"secret", b"0123456789abcdef", 4096);
    for known in [None, Some(keys.clone())] {
        for cut in 1..stream.len() {
            let mut dialer = dialer(Some("secret"), known.clone(), false);
            let mut outcome = Ok(ServerStep::More);
            for part in [&stream[..cut], &stream[cut..]] {
                outcome = match dialer.hear_only(part) {
                    Ok(ServerStep::Derive(_)) => dialer.derive(keys.clone()),
                    other => other,
                };
            }
            let derived = known.is_none().then(|| keys.clone());
            assert_eq!(done(outcome).keys, derived, "cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_in_by_chance(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut gate = Gate::new();
        gate.hear(&startup_of("app"));
        let mut message = Vec::new();
        frontend::push_sasl_response(&mut message, &input);
        prop_assert!(!matches!(gate.hear(&message), LoginStep::Done(_)));
    }
}
