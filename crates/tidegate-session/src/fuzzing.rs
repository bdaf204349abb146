//! Entry for fuzzing: bytes into every machine, in every role.

use tidegate_wire::certificate::{EndPoint, end_point};
use tidegate_wire::scram::Verifier;
use tidegate_wire::startup;

use crate::client::answers::{Answers, Probes};
use crate::client::{ClientMachine, Naming, Rules};
use crate::client_login::{
    self, ClientLogin, Credential, Credentials, LoginContext, Lookup, TlsOffer,
};
use crate::parameters::{Reported, SessionSettings};
use crate::pieces::Pieces;
use crate::pin::PinReasons;
use crate::prepared::Environment;
use crate::prepared::interner::Interner;
use crate::server::{Errand, ServerMachine};
use crate::server_login::{self, BindChannel, Secret, ServerLogin, ServerLoginSettings};
use crate::tls_request::TlsNegotiation;

struct Anybody;

impl Credentials for Anybody {
    fn credential(&self, user: &str) -> Lookup {
        match user.len() % 3 {
            0 => Lookup::Known(verifier()),
            1 => Lookup::Known(Credential::Nothing),
            _ => Lookup::Needed,
        }
    }
}

fn verifier() -> Credential {
    Credential::Verifier(Verifier::mock(b"user", &[7; 32]))
}

fn some_end_point() -> Option<EndPoint> {
    // The least that reads as a certificate: nothing is signed, by ECDSA with SHA-256.
    end_point(b"\x30\x10\x30\x00\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x00")
}

/// Runs `data` through all machines. The first byte says where the rest is cut in two.
pub fn everything(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(data.len());
    let parts = [data.get(..cut).unwrap_or_default(), data.get(cut..).unwrap_or_default()];

    for offer in [TlsOffer::Off, TlsOffer::Allow, TlsOffer::Require] {
        client_login(offer, parts);
    }
    for negotiation in [TlsNegotiation::Off, TlsNegotiation::Prefer, TlsNegotiation::Direct] {
        server_login(negotiation, parts);
    }

    let mut client = ClientMachine::default();
    let mut interner = Interner::default();
    let environment = Environment::default();
    let mut answers = Answers {
        probes: Probes::All,
        is_healthy: &|| true,
        environment: &environment,
        library: Some(&mut interner),
    };
    for part in parts {
        if client.gather(part, &mut answers, &mut Pieces::default()).is_err() {
            break;
        }
    }
    let complaint = tidegate_wire::catalogue::Complaint::draining();
    client.refuse(&complaint, &mut Pieces::default());

    // Both directions of a pair, as the bytes come; with few statements, so that some are closed.
    let mut client = ClientMachine::default();
    let mut server = ServerMachine::new(Reported::default(), 2);
    let mut interner = Interner::default();
    let environment = Environment::default();
    let naming = Naming {
        keeps: true,
        keeps_unnamed: true,
        environment: &environment,
        library: &mut interner,
    };
    let mut rules = Rules { is_free: true, ahead: None, naming: Some(naming) };
    let (mut up, mut down) = (Pieces::default(), Pieces::default());
    let [first, second] = parts;
    if client.relay(first, &mut rules, &mut server, &mut up, &mut down).is_ok()
        && server.receive(second, Some(client.statements()), &mut down, &mut up).is_ok()
    {
        server.review(PinReasons::NONE, &SessionSettings::default(), &mut up);
        let held = client.take_held();
        if client.relay(&held, &mut rules, &mut server, &mut up, &mut down).is_err() {
            return;
        }
        server.recover(&mut up);
        if server.receive(first, None, &mut down, &mut up).is_ok() && server.errand().is_none() {
            server.start(Errand::Check, b"", &mut up);
        }
    }
}

/// Whatever a step needs from outside is done at once.
fn client_login(offer: TlsOffer, parts: [&[u8]; 2]) {
    use client_login::LoginStep;
    let mut entropy = |out: &mut [u8]| out.fill(3);
    let mut context = LoginContext { credentials: &Anybody, entropy: &mut entropy };
    let mut reply = Pieces::default();
    let mut login = ClientLogin::new(None, offer);
    if offer == TlsOffer::Require {
        let mut request = Vec::new();
        startup::push_ssl_request(&mut request);
        login.receive(&request, &mut context, &mut reply);
        login.secured(some_end_point());
    }
    for part in parts {
        match login.receive(part, &mut context, &mut reply) {
            LoginStep::StartTls { .. } => login.secured(some_end_point()),
            LoginStep::NeedsCredential { .. } => {
                login.credential_found(verifier(), &mut context, &mut reply);
            }
            _ => {}
        }
    }
}

fn server_login(tls: TlsNegotiation, parts: [&[u8]; 2]) {
    use server_login::LoginStep;
    let settings = ServerLoginSettings {
        database: "d".into(),
        user: "u".into(),
        secret: Secret::Password { password: "p".into(), keys: None },
        tls,
        channel_binding: BindChannel::Prefer,
        parameters: &SessionSettings::default(),
        nonce: &[1; 18],
        probe: true,
        asks_role: true,
    };
    let mut out = Pieces::default();
    let mut login = ServerLogin::new(settings);
    if let LoginStep::StartTls = login.connected(&mut out) {
        login.secured(some_end_point(), &mut out);
    }
    for part in parts {
        let step = match login.receive(part, &mut out) {
            Ok(LoginStep::StartTls) => {
                login.secured(some_end_point(), &mut out);
                continue;
            }
            // More would only be slower.
            Ok(LoginStep::Derive(derivation)) if derivation.iterations() <= 4096 => {
                login.derived(derivation.derive(), &mut out)
            }
            step => step,
        };
        if !matches!(step, Ok(LoginStep::More)) {
            return;
        }
    }
}
