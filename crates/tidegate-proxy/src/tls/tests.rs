use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConnection, SupportedProtocolVersion};
use tidegate_testkit::certificates::{Authority, Folder, day, self_signed};

use super::Opening;
use super::acceptor::{Acceptor, ClientCertificates};
use super::connection::{End, Handshake, Stepped, Tls};
use super::connector::{Connector, NameError, Roots, Sni, Verify};
use super::failure::HandshakeError;
use super::files::{FileError, Identity};
use super::fixtures::{HOST, Scene, certificate, identity};
use super::verifier::Element;

/// One side of a handshake, and what came of it.
struct Party {
    tls: Option<Tls>,
    outcome: Result<Handshake, HandshakeError>,
}

impl Party {
    fn new(tls: Tls) -> Self {
        Self { tls: Some(tls), outcome: Ok(Handshake::GoesOn) }
    }

    /// Gives it `input`, and says what it answers.
    fn hear(&mut self, input: &[u8]) -> Vec<u8> {
        let tls = self.tls.take().expect("it is given back");
        let Stepped { tls, output, outcome } = tls.step(input).run();
        self.tls = Some(tls);
        self.outcome = outcome;
        output
    }

    fn tls(&mut self) -> &mut Tls {
        self.tls.as_mut().expect("it is given back")
    }

    fn is_done(&self) -> bool {
        self.outcome == Ok(Handshake::Done)
    }
}

/// Lets two sides shake hands. `cut` says how a flight is delivered: the lengths of all pieces but
/// the last.
fn shake(client: Tls, server: Tls, mut cut: impl FnMut(usize) -> Vec<usize>) -> (Party, Party) {
    let (mut client, mut server) = (Party::new(client), Party::new(server));
    let mut flight = client.hear(&[]);
    let mut to_server = true;
    while !flight.is_empty() {
        let hearer = if to_server { &mut server } else { &mut client };
        let mut rest = flight.as_slice();
        let mut answer = Vec::new();
        for bytes in cut(flight.len()) {
            let (piece, behind) = rest.split_at(bytes);
            answer.extend(hearer.hear(piece));
            rest = behind;
        }
        answer.extend(hearer.hear(rest));
        flight = answer;
        to_server = !to_server;
    }
    (client, server)
}

fn whole(_: usize) -> Vec<usize> {
    Vec::new()
}

fn foreign_client(
    scene: &Scene,
    version: &'static SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> Tls {
    let config = Arc::new(scene.foreign_client(&[version], alpn));
    let name = ServerName::try_from(HOST).expect("it is a name");
    let connection = UnbufferedClientConnection::new(config, name).expect("it is configured");
    Tls::client(connection, Opening::Requested)
}

/// What one side says reaches the other.
fn talk(from: &mut Party, to: &mut Party, words: &[u8]) {
    let mut out = Vec::new();
    from.tls().seal(words, &mut out).expect("hands were shaken");
    assert!(!out.windows(words.len()).any(|window| window == words), "it is not in clear");
    let mut back = Vec::new();
    let bytes = to.tls().open(&mut out, &mut back);
    assert_eq!(&out[..bytes], words);
}

const VERSIONS: [(&SupportedProtocolVersion, &str); 2] = [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")];

#[test]
fn both_versions_are_spoken_in_both_roles() {
    let scene = Scene::new();
    for (version, name) in VERSIONS {
        let client = foreign_client(&scene, version, &[b"postgresql"]);
        let (mut client, mut server) = shake(client, scene.acceptor.accept(Opening::Direct), whole);
        assert!(client.is_done() && server.is_done());
        assert_eq!(server.tls().version(), name);
        talk(&mut client, &mut server, b"a query");
        talk(&mut server, &mut client, b"an answer");

        let config = Arc::new(scene.foreign_server(&[version]));
        let server = UnbufferedServerConnection::new(config).expect("it is configured");
        let leaf = Arc::new(certificate(&scene.issued.certificate));
        let server = Tls::server(server, leaf, Opening::Requested);
        let client = scene.connector.connect(HOST, Opening::Requested).expect("it is a name");
        let (mut client, mut server) = shake(client, server, whole);
        assert!(client.is_done() && server.is_done());
        assert_eq!(client.tls().version(), name);
        talk(&mut client, &mut server, b"a query");
        talk(&mut server, &mut client, b"an answer");
    }
}

#[test]
fn records_to_clients_are_as_long_as_postgresqls() {
    let scene = Scene::new();
    for (version, _) in VERSIONS {
        let client = foreign_client(&scene, version, &[b"postgresql"]);
        let (_, mut server) = shake(client, scene.acceptor.accept(Opening::Requested), whole);
        let mut out = Vec::new();
        server.tls().seal(&[7; 100_000], &mut out).expect("hands were shaken");
        let mut records = 0;
        let mut rest = out.as_slice();
        while let [_, _, _, high, low, ..] = *rest {
            let bytes = usize::from(u16::from_be_bytes([high, low]));
            // What TLS adds to the plaintext is less than this in either version.
            assert!(bytes <= 8192 + 32, "a record of {bytes} bytes");
            records += 1;
            rest = &rest[5 + bytes..];
        }
        assert_eq!(records, 100_000_usize.div_ceil(8192));
    }
}

#[test]
fn a_handshake_may_arrive_in_any_pieces() {
    let scene = Scene::new();
    for (version, _) in VERSIONS {
        let one_by_one = |bytes| vec![1; bytes - 1];
        let client = foreign_client(&scene, version, &[]);
        let server = scene.acceptor.accept(Opening::Requested);
        let (mut client, mut server) = shake(client, server, one_by_one);
        assert!(client.is_done() && server.is_done());
        talk(&mut client, &mut server, b"a query");

        let mut place = 1;
        let mut longest = 0;
        while place == 1 || place < longest {
            let in_two = |bytes: usize| {
                longest = longest.max(bytes);
                vec![place.min(bytes - 1)]
            };
            let client = foreign_client(&scene, version, &[]);
            let server = scene.acceptor.accept(Opening::Requested);
            let (client, server) = shake(client, server, in_two);
            assert!(client.is_done() && server.is_done(), "cut at {place}");
            place += 1;
        }
        assert!(longest > 300, "a flight has hundreds of bytes");
    }
}

#[test]
fn as_much_is_verified_as_was_asked_for() {
    let scene = Scene::new();
    let stranger = Authority::new("stranger");
    let folder = &scene.folder;
    let ours = Roots::File(folder.file("ours.crt", &scene.authority.pem));
    let full = Verify::ChainAndName(ours.clone());
    let chain = Verify::Chain(ours);
    let nothing = Verify::Nothing;
    let old = scene.authority.issue_with(&[HOST], |wanted| {
        wanted.not_after = day(2020, 1, 1);
    });
    let young = scene.authority.issue_with(&[HOST], |wanted| {
        wanted.not_before = day(4000, 1, 1);
        wanted.not_after = day(4001, 1, 1);
    });
    let right = scene.authority.issue(&[HOST, "127.0.0.1"]);
    let strangers = stranger.issue(&[HOST]);
    let nameless = scene.authority.issue(&[]);
    let cases = [
        (&full, HOST, &right, Ok(())),
        (&full, "127.0.0.1", &right, Ok(())),
        (&full, "other.example", &right, Err("it is for db.example, 127.0.0.1, not for")),
        (&full, "127.0.0.2", &right, Err("it is for")),
        (&full, HOST, &nameless, Err("it names no host")),
        (&full, HOST, &strangers, Err("no authority that is trusted")),
        (&full, HOST, &old, Err("it has expired")),
        (&full, HOST, &young, Err("it is not valid yet")),
        (&chain, HOST, &right, Ok(())),
        (&chain, "other.example", &right, Ok(())),
        (&chain, "not a name", &right, Ok(())),
        (&chain, HOST, &nameless, Ok(())),
        (&chain, HOST, &strangers, Err("no authority that is trusted")),
        (&chain, HOST, &old, Err("it has expired")),
        (&nothing, "not a name", &strangers, Ok(())),
        (&nothing, HOST, &old, Ok(())),
    ];
    for (verify, host, issued, expected) in cases {
        let identity = identity(folder, "case", issued);
        let acceptor = Acceptor::load(&identity, &ClientCertificates::NotAsked).expect("a pair");
        let connector = Connector::load(verify, None, Sni::Sent).expect("there are roots");
        let client = connector.connect(host, Opening::Requested).expect("it may be a name");
        let (mut client, server) = shake(client, acceptor.accept(Opening::Requested), whole);
        let case = format!("{verify:?} of {host}");
        match expected {
            Ok(()) => {
                assert!(client.is_done() && server.is_done(), "{case}: {:?}", client.outcome);
                let leaf = certificate(&issued.certificate);
                assert_eq!(client.tls().server_certificate(), Some(leaf.as_ref()));
            }
            Err(words) => {
                let error = client.outcome.expect_err(&case);
                assert!(matches!(error, HandshakeError::Certificate { .. }), "{case}: {error:?}");
                assert!(error.to_string().contains(words), "{case}: {error}");
                assert!(matches!(server.outcome, Err(HandshakeError::Refused(_))), "{case}");
            }
        }
    }
}

#[test]
fn a_name_that_is_none_is_refused_where_names_are_verified() {
    let scene = Scene::new();
    let error = scene.connector.connect("not a name", Opening::Requested).expect_err("no name");
    assert_eq!(error, NameError { host: "not a name".into() });
    assert!(scene.connector.server_name("my_db").is_ok(), "container names have underscores");
    assert_eq!(scene.connector.config().alpn_protocols, [b"postgresql"]);
}

#[test]
fn the_host_is_named_only_when_it_is_a_name_and_may_be_sent() {
    let scene = Scene::new();
    let silent = Connector::load(&Verify::Nothing, None, Sni::Omitted).expect("it needs no file");
    let cases = [
        (&scene.connector, HOST, true),
        (&scene.connector, "127.0.0.1", false),
        (&silent, HOST, false),
    ];
    for (connector, host, is_named) in cases {
        let client = connector.connect(host, Opening::Requested).expect("it is a name");
        let hello = Party::new(client).hear(&[]);
        let is_said = hello.windows(host.len()).any(|window| window == host.as_bytes());
        assert_eq!(is_said, is_named, "{host}");
    }
}

/// What PostgreSQL's documentation recommends for a start, and libpq accepts.
#[test]
fn a_certificate_that_signed_itself_is_trusted_when_it_is_named() {
    let folder = Folder::default();
    let own = self_signed(&[HOST], |_| {});
    let old = self_signed(&[HOST], |wanted| wanted.not_after = day(2020, 1, 1));
    let cases = [
        (&own, &own, HOST, Ok(())),
        (&own, &own, "other.example", Err("it is for")),
        (&own, &old, HOST, Err("")),
        (&old, &old, HOST, Err("it has expired")),
    ];
    for (shown, named, host, expected) in cases {
        let roots = Roots::File(folder.file("root.crt", &named.certificate));
        let connector = Connector::load(&Verify::ChainAndName(roots), None, Sni::Sent);
        let identity = identity(&folder, "server", shown);
        let acceptor = Acceptor::load(&identity, &ClientCertificates::NotAsked).expect("a pair");
        let client = connector.expect("a root").connect(host, Opening::Requested).expect("a name");
        let (client, _) = shake(client, acceptor.accept(Opening::Requested), whole);
        match expected {
            Ok(()) => assert!(client.is_done(), "{:?}", client.outcome),
            Err(words) => {
                let error = client.outcome.expect_err("it is not trusted").to_string();
                assert!(error.contains(words), "{error}");
            }
        }
    }
}

/// The same certificate in the old form: without version and extensions, and so with a signature
/// that is not right any more.
fn in_old_form(certificate: &[u8]) -> Vec<u8> {
    fn sequence(content: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).expect("it is short").to_be_bytes();
        let header: &[u8] = if high == 0 { &[0x30, 0x81, low] } else { &[0x30, 0x82, high, low] };
        [header, content].concat()
    }
    let (whole, _) = Element::first(certificate).expect("it is DER");
    let (signed, signature) = Element::first(whole.content).expect("it is DER");
    let mut kept = Vec::new();
    let mut rest = signed.content;
    while let Some((element, behind)) = Element::first(rest) {
        if !matches!(element.whole[0], 0xa0 | 0xa3) {
            kept.extend_from_slice(element.whole);
        }
        rest = behind;
    }
    sequence(&[&sequence(&kept), signature].concat())
}

/// OpenSSL 3.0 makes them when told what PostgreSQL's documentation says.
#[test]
fn the_old_form_of_certificates_does_where_only_the_key_is_verified() {
    let scene = Scene::new();
    let old = CertificateDer::from(in_old_form(&certificate(&scene.issued.certificate)));
    let own_key = scene.foreign_key(&scene.issued);
    let strange_key = scene.foreign_key(&scene.authority.issue(&[HOST]));
    let nothing = Connector::load(&Verify::Nothing, None, Sni::Sent).expect("it needs no file");
    for (version, _) in VERSIONS {
        let cases = [
            (&nothing, &own_key, Ok(())),
            (&nothing, &strange_key, Err("its signature is wrong")),
            (&scene.connector, &own_key, Err("it is in an old form")),
        ];
        for (connector, key, expected) in cases {
            let shown = CertifiedKey::new(vec![old.clone()], key.clone());
            let config = scene.foreign_server_with(&[version], shown);
            let server = UnbufferedServerConnection::new(Arc::new(config)).expect("configured");
            let server = Tls::server(server, Arc::new(old.clone()), Opening::Requested);
            let client = connector.connect(HOST, Opening::Requested).expect("it is a name");
            let (mut client, mut server) = shake(client, server, whole);
            match expected {
                Ok(()) => {
                    assert!(client.is_done(), "{:?}", client.outcome);
                    assert_eq!(client.tls().server_certificate(), Some(old.as_ref()));
                    talk(&mut client, &mut server, b"a query");
                }
                Err(words) => {
                    let error = client.outcome.expect_err(words).to_string();
                    assert!(error.contains(words), "{error}");
                }
            }
        }
    }
    // What is cut off anywhere, or says that it is longer than it is, is no certificate.
    let long = [0x30, 0x84, 0xff, 0xff, 0xff, 0xff];
    assert!(Element::first(&long).is_none() && Element::first(&[0x30]).is_none());
    assert!((0..old.len()).all(|bytes| Element::first(&old[..bytes]).is_none()));
}

#[test]
fn certificates_of_clients_are_asked_for_as_configured() {
    let scene = Scene::new();
    let folder = &scene.folder;
    let authority = Authority::new("clients");
    let file = folder.file("clients.crt", &authority.pem);
    let known = authority.issue(&["alice"]);
    let unknown = Authority::new("stranger").issue(&["alice"]);
    let server = identity(folder, "server", &scene.issued);
    let cases = [
        (ClientCertificates::NotAsked, None, Ok(())),
        (ClientCertificates::NotAsked, Some(&unknown), Ok(())),
        (ClientCertificates::Optional(file.clone()), None, Ok(())),
        (ClientCertificates::Optional(file.clone()), Some(&known), Ok(())),
        (ClientCertificates::Optional(file.clone()), Some(&unknown), Err("no authority")),
        (ClientCertificates::Required(file.clone()), None, Err("has shown no certificate")),
        (ClientCertificates::Required(file.clone()), Some(&known), Ok(())),
        (ClientCertificates::Required(file), Some(&unknown), Err("no authority")),
    ];
    for (asked, shown, expected) in cases {
        let acceptor = Acceptor::load(&server, &asked).expect("the files are right");
        let identity = shown.map(|issued| identity(folder, "client", issued));
        let connector = Connector::load(&Verify::Nothing, identity.as_ref(), Sni::Sent);
        let client = connector.expect("a pair").connect(HOST, Opening::Requested).expect("a name");
        let (mut client, mut server) = shake(client, acceptor.accept(Opening::Requested), whole);
        let case = format!("{asked:?}, {} shown", if shown.is_some() { "one" } else { "none" });
        match expected {
            Ok(()) => {
                assert!(client.is_done() && server.is_done(), "{case}: {:?}", server.outcome);
                talk(&mut client, &mut server, b"a query");
                let is_seen = server.tls().peer_certificate().is_some();
                assert_eq!(is_seen, shown.is_some() && asked != ClientCertificates::NotAsked);
            }
            Err(words) => {
                let error = server.outcome.expect_err(&case).to_string();
                assert!(error.contains(words), "{case}: {error}");
                // In TLS 1.3 the client is done by then; it hears of it when it reads on.
                let end = client.tls().end().cloned();
                assert!(matches!(end, Some(End::Failed(_))) || client.outcome.is_err(), "{case}");
            }
        }
    }
}

#[test]
fn a_direct_connection_names_its_protocol() {
    let scene = Scene::new();
    type Case<'a> = (Opening, &'a [&'a [u8]], Result<(), HandshakeError>);
    let cases: [Case<'_>; 5] = [
        (Opening::Direct, &[b"postgresql"], Ok(())),
        (Opening::Direct, &[b"h2", b"postgresql"], Ok(())),
        (Opening::Direct, &[], Err(HandshakeError::NoAlpn)),
        (Opening::Direct, &[b"h2"], Err(HandshakeError::NoAlpn)),
        (Opening::Requested, &[], Ok(())),
    ];
    for (opening, offered, expected) in cases {
        for (version, _) in VERSIONS {
            let client = foreign_client(&scene, version, offered);
            let (_, server) = shake(client, scene.acceptor.accept(opening), whole);
            assert_eq!(server.outcome.map(|_| ()), expected, "{opening:?} with {offered:?}");
        }
    }
    let client = scene.connector.connect(HOST, Opening::Direct).expect("it is a name");
    let (client, server) = shake(client, scene.acceptor.accept(Opening::Direct), whole);
    assert!(client.is_done() && server.is_done());
    // A server older than 17 knows nothing of it, and does not speak direct TLS either.
    let config = Arc::new(scene.foreign_server(&[&TLS13]));
    let server = UnbufferedServerConnection::new(config).expect("it is configured");
    let leaf = Arc::new(certificate(&scene.issued.certificate));
    let client = scene.connector.connect(HOST, Opening::Direct).expect("it is a name");
    let (client, _) = shake(client, Tls::server(server, leaf, Opening::Requested), whole);
    assert_eq!(client.outcome, Err(HandshakeError::NoAlpn));
}

#[test]
fn both_sides_name_the_certificate_that_was_sent() {
    let scene = Scene::new();
    let before = scene.acceptor.accept(Opening::Requested);
    // A reload in the midst of a handshake changes nothing for it.
    let renewed = scene.authority.issue(&[HOST]);
    let identity = identity(&scene.folder, "renewed", &renewed);
    let acceptor = Acceptor::load(&identity, &ClientCertificates::NotAsked).expect("a pair");
    for (server, issued) in
        [(before, &scene.issued), (acceptor.accept(Opening::Requested), &renewed)]
    {
        let client = scene.connector.connect(HOST, Opening::Requested).expect("it is a name");
        let (mut client, mut server) = shake(client, server, whole);
        let leaf = certificate(&issued.certificate);
        assert_eq!(client.tls().server_certificate(), Some(leaf.as_ref()));
        assert_eq!(server.tls().server_certificate(), Some(leaf.as_ref()));
        assert_eq!(server.tls().peer_certificate(), None);
    }
}

#[test]
fn what_is_no_tls_gets_an_alert_and_is_called_so() {
    let scene = Scene::new();
    let garbage: [(&[u8], bool); 5] = [
        (b"GET / HTTP/1.1\r\n\r\n", true),
        (&[0; 600], true),
        (&[0, 0, 0, 8, 4, 210, 22, 47], true),
        (&[22, 3, 1, 0, 5, 99, 0, 0, 1, 0], false),
        (&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0], false),
    ];
    for (bytes, is_foreign) in garbage {
        let mut server = Party::new(scene.acceptor.accept(Opening::Direct));
        let answer = server.hear(bytes);
        let error = server.outcome.clone().expect_err("it is garbage");
        assert_eq!(error == HandshakeError::NotTls, is_foreign, "{error:?}");
        assert_eq!(answer.first(), Some(&21), "an alert for {bytes:?}");
        assert!(server.tls().seal(b"secret", &mut Vec::new()).is_err());

        let client = scene.connector.connect(HOST, Opening::Requested).expect("it is a name");
        let mut client = Party::new(client);
        client.hear(&[]);
        let answer = client.hear(bytes);
        assert!(client.outcome.is_err());
        assert_eq!(answer.first(), Some(&21), "an alert for {bytes:?}");
    }
    // The beginning of something enormous is not waited for without bound.
    let mut server = Party::new(scene.acceptor.accept(Opening::Direct));
    let mut fed = 0;
    while server.outcome == Ok(Handshake::GoesOn) {
        let mut record = vec![22, 3, 1, 0x40, 0];
        let header: &[u8] = if fed == 0 { &[1, 0xff, 0xff, 0xff] } else { &[] };
        record.extend_from_slice(header);
        record.resize(5 + (1 << 14), 0);
        server.hear(&record);
        fed += record.len();
        assert!(fed < 1 << 20, "a megabyte is too much");
    }
    assert!(server.outcome.is_err());
}

#[test]
fn refusals_name_the_remedy() {
    let error = HandshakeError::Refused(AlertDescription::UnknownCA).to_string();
    assert_eq!(
        error,
        "the peer ended the handshake: unknown_ca (it does not trust who signed our certificate)"
    );
    let error = HandshakeError::Refused(AlertDescription::CertificateRequired).to_string();
    assert!(error.contains("certificate_required (it wants a certificate"), "{error}");
    let error = HandshakeError::Refused(AlertDescription::Unknown(200)).to_string();
    assert_eq!(error, "the peer ended the handshake: alert 200");
}

#[test]
fn versions_that_are_too_old_are_refused() {
    let scene = Scene::new();
    // A ClientHello of TLS 1.1 with one cipher suite.
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0, 47, 1, 0]);
    let mut server = Party::new(scene.acceptor.accept(Opening::Requested));
    let answer = server.hear(&hello);
    assert!(matches!(server.outcome, Err(HandshakeError::Incompatible(_))), "{:?}", server.outcome);
    assert_eq!(answer.first(), Some(&21), "an alert");
}

/// A server of another make sends tickets after the handshake, here in many small records. What
/// is half there must neither be lost nor stumbled over when we write in between.
#[test]
fn half_a_message_of_tls_own_does_not_disturb_what_is_written() {
    let scene = Scene::new();
    let mut config = scene.foreign_server(&[&TLS13]);
    config.max_fragment_size = Some(40);
    let config = Arc::new(config);
    let leaf = Arc::new(certificate(&scene.issued.certificate));
    let mut place = 1;
    loop {
        let server = UnbufferedServerConnection::new(config.clone()).expect("it is configured");
        let server = Tls::server(server, leaf.clone(), Opening::Requested);
        let mut client =
            Party::new(scene.connector.connect(HOST, Opening::Requested).expect("it is a name"));
        let mut server = Party::new(server);
        let hello = client.hear(&[]);
        let flight = server.hear(&hello);
        let finished = client.hear(&flight);
        assert!(client.is_done());
        let mut tickets = server.hear(&finished);
        assert!(server.is_done());
        assert!(tickets.len() > 5 * 40, "they are cut into pieces");
        server.tls().seal(b"an answer", &mut tickets).expect("hands were shaken");
        if place >= tickets.len() {
            return;
        }
        let mut heard = Vec::new();
        let (first, second) = tickets.split_at(place);
        for part in [first, second] {
            let mut buffer = vec![0; 1 << 16];
            let filled = client.tls().put_back(&mut buffer).expect("there is room");
            buffer[filled..filled + part.len()].copy_from_slice(part);
            let bytes = client.tls().open(&mut buffer[..filled + part.len()], &mut Vec::new());
            heard.extend_from_slice(&buffer[..bytes]);
            talk(&mut client, &mut server, b"a query");
        }
        assert_eq!(heard, b"an answer", "cut at {place}");
        place += 7;
    }
}

#[test]
fn a_tampered_record_ends_the_connection_with_an_alert() {
    let scene = Scene::new();
    let config = Arc::new(scene.foreign_client(&[&TLS13], &[]));
    let name = ServerName::try_from(HOST).expect("it is a name");
    let mut client = ClientConnection::new(config, name).expect("it is configured");
    let mut server = Party::new(scene.acceptor.accept(Opening::Requested));
    while !server.is_done() {
        let mut flight = Vec::new();
        client.write_tls(&mut flight).expect("memory takes everything");
        let answer = server.hear(&flight);
        client.read_tls(&mut answer.as_slice()).expect("memory gives everything");
        client.process_new_packets().expect("the server is honest");
    }
    client.writer().write_all(b"a query").expect("it is short");
    let mut record = Vec::new();
    client.write_tls(&mut record).expect("memory takes everything");
    *record.last_mut().expect("it is not empty") ^= 1;
    let mut alert = Vec::new();
    assert_eq!(server.tls().open(&mut record, &mut alert), 0);
    assert!(matches!(server.tls().end(), Some(End::Failed(_))));
    assert!(server.tls().seal(b"an answer", &mut alert).is_err());
    client.read_tls(&mut alert.as_slice()).expect("memory gives everything");
    let error = client.process_new_packets().expect_err("it was told");
    assert_eq!(error, rustls::Error::AlertReceived(AlertDescription::BadRecordMac));
    assert!(client.reader().read(&mut [0; 16]).is_err());
}

#[test]
fn files_that_are_wrong_are_named_with_the_remedy() {
    let folder = Folder::default();
    let authority = Authority::new("authority");
    let (issued, other) = (authority.issue(&[HOST]), authority.issue(&[HOST]));
    let certificate = folder.file("server.crt", &issued.certificate);
    let key = folder.file("server.key", &issued.key);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                     -----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted_old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                         DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let rubbish_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let cut = &issued.certificate[..issued.certificate.len() / 2];
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases: [(PathBuf, PathBuf, &str); 10] = [
        (folder.missing(), key.clone(), "there is no such file"),
        (folder.missing().with_file_name(""), key.clone(), "name the file, not its folder"),
        (key.clone(), key.clone(), "has no certificate in it"),
        (certificate.clone(), certificate.clone(), "has no private key in it"),
        (certificate.clone(), folder.file("locked.key", encrypted), "is encrypted"),
        (certificate.clone(), folder.file("old.key", encrypted_old), "is encrypted"),
        (certificate.clone(), folder.file("other.key", &other.key), "is not that of the"),
        (certificate.clone(), folder.file("rubbish.key", rubbish_key), "can't be used"),
        (folder.file("cut.crt", cut), key.clone(), "is damaged"),
        (folder.file("rubbish.crt", rubbish), key.clone(), "can't be used"),
    ];
    for (certificate, key, expected) in cases {
        let identity = Identity { certificate, key };
        let error = Acceptor::load(&identity, &ClientCertificates::NotAsked).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            error.to_string().contains(".key")
                || error.to_string().contains(".crt")
                || error.to_string().contains(".pem")
                || expected.contains("folder"),
            "{error}"
        );
    }
    let identity = Identity { certificate, key };
    let asked = ClientCertificates::Required(folder.file("empty.crt", ""));
    let error = Acceptor::load(&identity, &asked).expect_err("nobody is trusted");
    assert!(matches!(error, FileError::NoCertificate { .. }));
    let verify = Verify::Chain(Roots::File(folder.file("rubbish.crt", rubbish)));
    let error = Connector::load(&verify, None, Sni::Sent).expect_err("nobody is trusted");
    assert!(matches!(error, FileError::UnusableCertificate { .. }));
    let mixed = format!("# a comment\n{}\n{}", issued.key, issued.certificate);
    let both = folder.file("both.pem", &mixed);
    let identity = Identity { certificate: both.clone(), key: both };
    Acceptor::load(&identity, &ClientCertificates::NotAsked).expect("one file may hold both");
}

#[test]
fn the_systems_authorities_do_not_vouch_for_a_stranger() {
    let scene = Scene::new();
    match Connector::load(&Verify::Chain(Roots::System), None, Sni::Sent) {
        Ok(connector) => {
            let client = connector.connect(HOST, Opening::Requested).expect("it is a name");
            let (client, _) = shake(client, scene.acceptor.accept(Opening::Requested), whole);
            assert!(matches!(client.outcome, Err(HandshakeError::Certificate { .. })));
        }
        Err(error) => assert!(error.to_string().contains("ca-certificates"), "{error}"),
    }
}
