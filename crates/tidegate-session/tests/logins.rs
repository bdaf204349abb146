//! Logins, both ways: a client's to Tidegate, and Tidegate's to PostgreSQL. The other side is
//! played by hand with what `tidegate_wire` has for it, or by the machine of the other direction.

use std::sync::Arc;

use proptest::prelude::*;
use tidegate_session::client_login::{
    ClientLogin, Credential, Credentials, LoggedIn, LoginContext, LoginStep, Refusal,
};
use tidegate_session::parameters::StartupParameters;
use tidegate_session::pieces::Pieces;
use tidegate_session::server_login::{self, LoginFailure, ServerLogin, ServerLoginSettings};
use tidegate_wire::backend::{
    self, Authentication, Message, Report, Severity, Tag, TransactionStatus,
};
use tidegate_wire::frontend::{self, SaslInitial};
use tidegate_wire::md5;
use tidegate_wire::scram::{self, ClientFirst, ClientSecret, SaltedKeys, ServerFirst, Verifier};
use tidegate_wire::sqlstate::SqlState;
use tidegate_wire::startup::{self, ProtocolVersion};

const SCRAM: &str = "SCRAM-SHA-256";

// --- A client's login. ---

/// `app` has the password `secret`, `guest` needs none, all others do not exist.
struct Users {
    app: Verifier,
}

impl Users {
    fn new() -> Self {
        Self { app: Verifier::from_password(b"secret", b"salt of app 1234", 4096) }
    }
}

impl Credentials for Users {
    fn credential(&self, user: &str) -> Credential {
        match user {
            "app" => Credential::Verifier(self.app.clone()),
            "guest" => Credential::Nothing,
            unknown => Credential::Verifier(Verifier::mock(unknown.as_bytes(), &[9; 32])),
        }
    }
}

struct Gate {
    users: Users,
    login: ClientLogin,
    said: Vec<u8>,
}

impl Gate {
    fn new() -> Self {
        Self { users: Users::new(), login: ClientLogin::new(None), said: Vec::new() }
    }

    fn hear(&mut self, input: &[u8]) -> LoginStep {
        let mut reply = Pieces::default();
        let mut entropy = |out: &mut [u8]| out.fill(5);
        let mut context = LoginContext { credentials: &self.users, entropy: &mut entropy };
        let step = self.login.receive(input, &mut context, &mut reply);
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

/// Logs in as an application does, up to where it is refused or in. `mechanism` is what it
/// chooses. Also says how many messages the gate sent.
fn log_in(gate: &mut Gate, user: &str, password: &str, mechanism: &str) -> (LoginStep, usize) {
    assert!(matches!(gate.hear(&startup_of(user)), LoginStep::More));
    let said = gate.said();
    let [(Tag::Authentication, _)] = &messages(&said)[..] else { panic!("SASL is offered") };
    let secret = ClientSecret::Password(password.as_bytes().to_vec());
    let (first, message) = ClientFirst::new(secret, scram::nonce(&[1; 18]));
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
}

#[test]
fn encryption_is_declined_once_each_and_the_login_goes_on() {
    let mut gate = Gate::new();
    let (mut ssl, mut gss) = (Vec::new(), Vec::new());
    startup::push_ssl_request(&mut ssl);
    startup::push_gssenc_request(&mut gss);
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
    let mut stream = Vec::new();
    startup::push_ssl_request(&mut stream);
    stream.extend(startup_of("guest"));
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

// --- Tidegate's own login. ---

/// PostgreSQL, as far as the script goes: it hears nothing, its words are given.
struct Dialer {
    login: ServerLogin,
    said: Vec<u8>,
}

fn dialer(password: Option<&str>, keys: Option<SaltedKeys>, probe: bool) -> Dialer {
    let pairs = [(&b"application_name"[..], &b"shop"[..])];
    let parameters = StartupParameters::new(pairs).expect("valid");
    let settings = ServerLoginSettings {
        database: "shop".into(),
        user: "app".into(),
        password: password.map(Arc::from),
        keys,
        parameters: &parameters,
        nonce: &[3; 18],
        probe,
    };
    let mut out = Pieces::default();
    let login = ServerLogin::new(settings, &mut out);
    Dialer { login, said: out.to_vec(&[]) }
}

type Outcome = Result<Option<Box<server_login::LoggedIn>>, LoginFailure>;

impl Dialer {
    fn hear(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        let mut input = Vec::new();
        write(&mut input);
        self.hear_bytes(&input)
    }

    fn hear_bytes(&mut self, input: &[u8]) -> Outcome {
        let mut out = Pieces::default();
        let outcome = self.login.receive(input, &mut out);
        self.said.extend(out.to_vec(input));
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
    *outcome.expect("no failure").expect("the login is complete")
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
    assert!(matches!(dialer.hear(backend::push_auth_cleartext), Ok(None)));
    assert_eq!(dialer.said(), password_message(b"secret"));
    done(dialer.hear(push_welcome));

    let mut dialer = self::dialer(Some("secret"), None, false);
    dialer.said();
    assert!(matches!(dialer.hear(|out| backend::push_auth_md5(out, [1, 2, 3, 4])), Ok(None)));
    let response = md5::response(b"app", b"secret", [1, 2, 3, 4]);
    assert_eq!(dialer.said(), password_message(response.as_bytes()));
    done(dialer.hear(push_welcome));
}

/// Plays PostgreSQL's side of SCRAM up to server-final. `Err` when the proof was wrong.
fn scram_with(dialer: &mut Dialer, verifier: Verifier) -> Result<Vec<u8>, ()> {
    dialer.said();
    let offer = |out: &mut Vec<u8>| backend::push_auth_sasl(out, &["SCRAM-SHA-256-PLUS", SCRAM]);
    assert!(matches!(dialer.hear(offer), Ok(None)));
    let said = dialer.said();
    let initial = SaslInitial::decode(&said[5..]).expect("a SASLInitialResponse");
    assert_eq!(initial.mechanism, SCRAM.as_bytes());
    let first = ServerFirst::new(verifier, scram::nonce(&[8; 18]));
    let (proof, message) = first.on_client_first(initial.response.expect("given")).expect("first");
    assert!(matches!(dialer.hear(|out| backend::push_auth_sasl_continue(out, &message)), Ok(None)));
    let said = dialer.said();
    proof.on_client_final(&said[5..]).map(|(_, message)| message).map_err(drop)
}

#[test]
fn scram_proves_both_sides_and_keeps_the_keys() {
    let verifier = Verifier::from_password(b"secret", b"0123456789abcdef", 4096);
    let mut dialer = dialer(Some("secret"), None, false);
    let last = scram_with(&mut dialer, verifier.clone()).expect("the right proof");
    assert!(matches!(dialer.hear(|out| backend::push_auth_sasl_final(out, &last)), Ok(None)));
    let keys = done(dialer.hear(push_welcome)).keys.expect("keys were derived");
    // The next login needs no derivation, and so derives none.
    let mut dialer = self::dialer(Some("secret"), Some(keys.clone()), false);
    let last = scram_with(&mut dialer, verifier).expect("the right proof");
    assert!(matches!(dialer.hear(|out| backend::push_auth_sasl_final(out, &last)), Ok(None)));
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
    let mut gate = Gate::new();
    let mut logged_in = None;
    for _ in 0..10 {
        let step = gate.hear(&dialer.said());
        if let LoginStep::Done(_) = step {
            logged_in = Some(step);
        }
        let said = gate.said();
        if said.is_empty() {
            break;
        }
        assert!(matches!(dialer.hear_bytes(&said), Ok(None)));
    }
    assert!(logged_in.is_some());
    assert!(matches!(dialer.hear_bytes(b"Z\0\0\0\x05I"), Ok(Some(_))));
}

#[test]
fn what_postgresql_wants_and_we_do_not_have_is_named() {
    let no_password = |method| LoginFailure::NoPassword { user: "app".into(), method };
    let failure = |write: fn(&mut Vec<u8>)| dialer(None, None, false).hear(write).err();
    assert_eq!(failure(backend::push_auth_cleartext), Some(no_password("cleartext")));
    assert_eq!(failure(|out| backend::push_auth_md5(out, [0; 4])), Some(no_password("md5")));
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
        assert!(matches!(dialer.hear(push_welcome), Ok(None)));
        let mut probe = Vec::new();
        frontend::push_query(&mut probe, b"SELECT pg_catalog.pg_backend_pid()");
        assert_eq!(dialer.said(), probe);
        assert_eq!(done(dialer.hear(|out| push_pid(out, pid))).is_direct, expected, "{pid}");
    }
}

#[test]
fn answers_cut_anywhere_are_the_same() {
    let mut stream = Vec::new();
    push_welcome(&mut stream);
    push_pid(&mut stream, "4711");
    for cut in 1..stream.len() {
        let mut dialer = dialer(None, None, true);
        assert!(matches!(dialer.hear_bytes(&stream[..cut]), Ok(None)), "cut at {cut}");
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
