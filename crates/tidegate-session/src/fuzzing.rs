//! Entry for fuzzing: bytes into every machine, in every role.

use crate::client::{ClientMachine, Naming, Rules};
use crate::client_login::{ClientLogin, Credential, Credentials, LoginContext};
use crate::parameters::{Reported, StartupParameters};
use crate::pieces::Pieces;
use crate::prepared::{Environment, Interner};
use crate::server::{Errand, ServerMachine};
use crate::server_login::{ServerLogin, ServerLoginSettings};

struct Anybody;

impl Credentials for Anybody {
    fn credential(&self, user: &str) -> Credential {
        if user.len().is_multiple_of(2) {
            return Credential::Nothing;
        }
        let verifier = tidegate_wire::scram::Verifier::mock(user.as_bytes(), &[7; 32]);
        Credential::Verifier(verifier)
    }
}

/// Runs `data` through all machines. The first byte says where the rest is cut in two.
pub fn everything(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(data.len());
    let parts = [data.get(..cut).unwrap_or_default(), data.get(cut..).unwrap_or_default()];

    let mut login = ClientLogin::new(None);
    for part in parts {
        let mut context =
            LoginContext { credentials: &Anybody, entropy: &mut |out: &mut [u8]| out.fill(3) };
        login.receive(part, &mut context, &mut Pieces::default());
    }

    let settings = ServerLoginSettings {
        database: "d".into(),
        user: "u".into(),
        password: Some("p".into()),
        keys: None,
        parameters: &StartupParameters::default(),
        nonce: &[1; 18],
        probe: true,
    };
    let mut login = ServerLogin::new(settings, &mut Pieces::default());
    for part in parts {
        if login.receive(part, &mut Pieces::default()).is_err() {
            break;
        }
    }

    let mut client = ClientMachine::default();
    for part in parts {
        if client.gather(part, &mut Pieces::default()).is_err() {
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
    let mut intern = |environment: Option<&Environment>, definition: &[u8]| {
        interner.intern(environment, definition)
    };
    let naming = Naming { environment: &environment, intern: &mut intern };
    let mut rules = Rules { watch: true, naming: Some(naming) };
    let (mut up, mut down) = (Pieces::default(), Pieces::default());
    let [first, second] = parts;
    if client.relay(first, &mut rules, &mut server, &mut up, &mut down).is_ok()
        && server.receive(second, Some(client.statements()), &mut down, &mut up).is_ok()
    {
        server.recover(&mut up);
        if server.receive(first, None, &mut down, &mut up).is_ok() && server.errand().is_none() {
            server.start(Errand::Check, b"", &mut up);
        }
    }
}
