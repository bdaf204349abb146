use super::*;

const PENCIL: &[u8] = b"pencil";

// RFC 7677, section 3. Its client sends the user name, ours does not, so each role is held
// against the vector with the states built by hand where that matters.
const RFC_CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const RFC_SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const RFC_CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const RFC_SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn rfc_salt() -> Vec<u8> {
    BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap()
}

fn rfc_server() -> AwaitingProof {
    let verifier = Verifier::from_password(PENCIL, &rfc_salt(), 4096);
    let server = ServerFirst::new(verifier, RFC_SERVER_NONCE.to_owned(), None);
    let first = RFC_CLIENT_FIRST.as_bytes();
    let (awaiting, answer) = server.on_client_first(Mechanism::Plain, first).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), RFC_SERVER_FIRST);
    awaiting
}

fn rfc_client() -> ClientFirst {
    ClientFirst {
        secret: ClientSecret::Password(PENCIL.to_vec()),
        binding: ChannelBinding::NotSupported,
        client_nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
        bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".to_owned(),
    }
}

/// A verifier with few iterations, so that tests that are not about them are quick.
fn quick_verifier() -> Verifier {
    Verifier::from_password(PENCIL, b"salt", 2)
}

fn client(password: &[u8]) -> (ClientFirst, Vec<u8>) {
    bound_client(password, ChannelBinding::NotSupported)
}

fn bound_client(password: &[u8], binding: ChannelBinding) -> (ClientFirst, Vec<u8>) {
    ClientFirst::new(ClientSecret::Password(password.to_vec()), "client".to_owned(), binding)
}

fn play(password: &[u8], verifier: Verifier) -> Result<(Authenticated, ClientKey), ScramError> {
    play_bound(password, verifier, ChannelBinding::NotSupported, None)
}

fn play_bound(
    password: &[u8],
    verifier: Verifier,
    binding: ChannelBinding,
    sent: Option<EndPoint>,
) -> Result<(Authenticated, ClientKey), ScramError> {
    let chosen = binding.mechanism();
    let (client, message) = bound_client(password, binding);
    let server = ServerFirst::new(verifier, "server".to_owned(), sent);
    let (server, message) = server.on_client_first(chosen, &message)?;
    let needs = client.on_server_first(&message)?;
    let keys = needs.derive()?;
    let (client, message) = needs.answer(&keys)?;
    let (client_key, message) = server.on_client_final(&message)?;
    Ok((client.on_server_final(&message)?, client_key))
}

/// The end point of a server whose certificate is next to nothing and holds this byte.
fn end_point(byte: u8) -> EndPoint {
    let oid = b"\x2a\x86\x48\xce\x3d\x04\x03\x02"; // ECDSA with SHA-256.
    let der = [b"\x30\x13\x30\x03\x02\x01", &[byte][..], b"\x30\x0a\x06\x08", oid, b"\x03\x00"];
    crate::certificate::end_point(&der.concat()).unwrap()
}

#[test]
fn the_server_plays_the_exchange_of_rfc_7677() {
    let (_, answer) = rfc_server().on_client_final(RFC_CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), RFC_SERVER_FINAL);
}

#[test]
fn the_client_plays_the_exchange_of_rfc_7677() {
    let needs = rfc_client().on_server_first(RFC_SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!((needs.salt(), needs.iterations()), (&rfc_salt()[..], 4096));
    let keys = needs.derive().unwrap();
    let (awaiting, message) = needs.answer(&keys).unwrap();
    assert_eq!(String::from_utf8(message).unwrap(), RFC_CLIENT_FINAL);
    assert_eq!(awaiting.on_server_final(RFC_SERVER_FINAL.as_bytes()), Ok(Authenticated(())));
}

#[test]
fn both_roles_agree_on_a_password_and_on_nothing_else() {
    let (_, client_key) = play(PENCIL, quick_verifier()).unwrap();
    assert_eq!(client_key.as_bytes(), &SaltedKeys::derive(PENCIL, b"salt", 2).client_key);
    assert_eq!(play(b"pencil ", quick_verifier()).unwrap_err(), ScramError::WrongProof);
    assert_eq!(play(b"", quick_verifier()).unwrap_err(), ScramError::WrongProof);
}

#[test]
fn the_key_of_a_login_logs_in_elsewhere() {
    let (_, client_key) = play(PENCIL, quick_verifier()).unwrap();
    let keys = client_key.with_verifier(&quick_verifier());
    assert_eq!(keys, SaltedKeys::derive(PENCIL, b"salt", 2));
}

#[test]
fn channel_binding_proves_the_certificate() {
    let right = ChannelBinding::EndPoint(end_point(1));
    play_bound(PENCIL, quick_verifier(), right.clone(), Some(end_point(1))).unwrap();
    let other = play_bound(PENCIL, quick_verifier(), right.clone(), Some(end_point(2)));
    assert_eq!(other.unwrap_err(), ScramError::ChannelBindingMismatch);
    let wrong = play_bound(b"wrong", quick_verifier(), right.clone(), Some(end_point(1)));
    assert_eq!(wrong.unwrap_err(), ScramError::WrongProof);
    // The client may go without when it cannot bind, or when nothing was offered.
    for (binding, sent) in [
        (ChannelBinding::NotSupported, Some(end_point(1))),
        (ChannelBinding::NotSupported, None),
        (ChannelBinding::SupportedButUnused, None),
    ] {
        play_bound(PENCIL, quick_verifier(), binding, sent).unwrap();
    }
}

#[test]
fn what_is_bound_is_in_the_transcript_as_rfc_5802_has_it() {
    let bound = ChannelBinding::EndPoint(end_point(1));
    let (_, message) = bound_client(PENCIL, bound.clone());
    assert_eq!(message, b"p=tls-server-end-point,,n=,r=client");
    let expected = [b"p=tls-server-end-point,,", end_point(1).as_bytes()].concat();
    assert_eq!(BASE64.decode(bound.attribute()).unwrap(), expected);
    assert_eq!(ChannelBinding::SupportedButUnused.attribute(), "eSws");
    assert_eq!(ChannelBinding::NotSupported.attribute(), "biws");
}

#[test]
fn plus_is_offered_first_and_only_where_there_is_something_to_bind_to() {
    let offer = |sent| ServerFirst::new(quick_verifier(), "server".to_owned(), sent).mechanisms();
    assert_eq!(offer(Some(end_point(1))), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    assert_eq!(offer(None), ["SCRAM-SHA-256"]);
    for name in [MECHANISM, MECHANISM_PLUS] {
        assert_eq!(Mechanism::from_name(name.as_bytes()).map(Mechanism::as_str), Some(name));
    }
    assert_eq!(Mechanism::from_name(b"SCRAM-SHA-1"), None);
}

#[test]
fn what_a_client_says_of_channel_binding_must_fit_what_it_chose_and_was_offered() {
    use Mechanism::{Plain, Plus};
    use ScramError::{
        ChannelBindingDowngraded, ChannelBindingMissing, ChannelBindingUnchosen,
        ChannelBindingUnknown, MechanismNotOffered,
    };
    let end_point_flag = "p=tls-server-end-point";
    let odd = ScramError::Malformed { what: "channel binding flag" };
    // (chosen, whether PLUS was offered, flag, refusal)
    let table = [
        (Plain, false, "n", None),
        (Plain, false, "y", None),
        (Plain, false, end_point_flag, Some(ChannelBindingUnchosen)),
        (Plain, false, "p=tls-unique", Some(ChannelBindingUnchosen)),
        (Plain, false, "x", Some(odd.clone())),
        (Plain, true, "n", None),
        (Plain, true, "y", Some(ChannelBindingDowngraded)),
        (Plain, true, end_point_flag, Some(ChannelBindingUnchosen)),
        (Plus, true, end_point_flag, None),
        (Plus, true, "n", Some(ChannelBindingMissing)),
        (Plus, true, "y", Some(ChannelBindingMissing)),
        (Plus, true, "p=tls-unique", Some(ChannelBindingUnknown)),
        (Plus, true, "p=", Some(ChannelBindingUnknown)),
        (Plus, true, "p", Some(odd.clone())),
        (Plus, true, "", Some(odd)),
        (Plus, false, end_point_flag, Some(MechanismNotOffered)),
        (Plus, false, "n", Some(MechanismNotOffered)),
    ];
    for (chosen, is_offered, flag, refusal) in table {
        let sent = is_offered.then(|| end_point(1));
        let server = ServerFirst::new(quick_verifier(), "server".to_owned(), sent);
        let outcome = server.on_client_first(chosen, format!("{flag},,n=,r=abc").as_bytes());
        assert_eq!(outcome.err(), refusal, "{chosen:?}, offered: {is_offered}, {flag}");
    }
}

#[test]
fn a_final_message_without_the_bound_data_is_refused() {
    let server = || {
        let server = ServerFirst::new(quick_verifier(), "server".to_owned(), Some(end_point(1)));
        let first = b"p=tls-server-end-point,,n=,r=client";
        server.on_client_first(Mechanism::Plus, first).unwrap().0
    };
    let proof = BASE64.encode([0; KEY_BYTES]);
    let said = |binding: &[u8]| {
        let message = format!("c={},r=clientserver,p={proof}", BASE64.encode(binding));
        server().on_client_final(message.as_bytes()).unwrap_err()
    };
    let right = [b"p=tls-server-end-point,,", end_point(1).as_bytes()].concat();
    assert_eq!(said(&right), ScramError::WrongProof);
    for cut in 0..right.len() {
        assert_eq!(said(&right[..cut]), ScramError::ChannelBindingMismatch, "cut at {cut}");
    }
    for wrong in [&b"n,,"[..], b"y,,", &[&right[..], &[0]].concat()] {
        assert_eq!(said(wrong), ScramError::ChannelBindingMismatch);
    }
}

#[test]
fn a_derivation_done_elsewhere_is_the_same_and_keys_need_none() {
    let first = client(PENCIL).0;
    let needs = first.on_server_first(b"r=clientserver,s=c2FsdA==,i=2").unwrap();
    let derivation = needs.derivation().unwrap();
    assert_eq!(derivation.derive(), SaltedKeys::derive(PENCIL, b"salt", 2));
    needs.answer(&derivation.derive()).unwrap();
    let first = keyed(SaltedKeys::derive(PENCIL, b"salt", 2)).0;
    let needs = first.on_server_first(b"r=clientserver,s=c2FsdA==,i=2").unwrap();
    assert_eq!(needs.derivation(), None);
}

fn keyed(keys: SaltedKeys) -> (ClientFirst, Vec<u8>) {
    let secret = ClientSecret::Keys(keys);
    ClientFirst::new(secret, "client".to_owned(), ChannelBinding::NotSupported)
}

#[test]
fn keys_for_another_salt_are_refused_before_they_are_used() {
    let keys = SaltedKeys::derive(PENCIL, b"other", 2);
    let (first, _) = keyed(keys.clone());
    let needs = first.on_server_first(b"r=clientserver,s=c2FsdA==,i=2").unwrap();
    assert_eq!(needs.derive(), Err(ScramError::KeysDoNotFit));
    assert_eq!(needs.answer(&keys).unwrap_err(), ScramError::KeysDoNotFit);

    let keys = SaltedKeys::derive(PENCIL, b"salt", 2);
    let (first, _) = keyed(keys.clone());
    let needs = first.on_server_first(b"r=clientserver,s=c2FsdA==,i=2").unwrap();
    assert_eq!(needs.derive(), Ok(keys));
}

#[test]
fn a_mock_verifier_is_stable_plausible_and_never_accepts() {
    let mock = Verifier::mock(b"ghost", &[7; 32]);
    assert_eq!(mock, Verifier::mock(b"ghost", &[7; 32]));
    assert_ne!(mock.salt, Verifier::mock(b"spook", &[7; 32]).salt);
    assert_ne!(mock.salt, Verifier::mock(b"ghost", &[8; 32]).salt);
    assert_eq!((mock.salt.len(), mock.iterations), (SALT_BYTES, ITERATIONS_DEFAULT));
    // Even a client that found the matching key would be refused.
    let mut lucky = quick_verifier();
    lucky.origin = Origin::Mock;
    assert_eq!(play(PENCIL, lucky).unwrap_err(), ScramError::WrongProof);
    assert_eq!(play(PENCIL, mock).unwrap_err(), ScramError::WrongProof);
}

#[test]
fn a_verifier_round_trips_and_a_wrong_one_names_its_fault() {
    // RFC 7677 gives the password, salt, and iterations; the form is that of pg_authid.
    let text = Verifier::from_password(PENCIL, &rfc_salt(), 4096).to_string();
    assert_eq!(
        text,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
         wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
    assert_eq!(Verifier::parse(&text).unwrap().to_string(), text);
    let key = "A".repeat(43) + "=";
    let long_key = "A".repeat(44);
    for (wrong, what) in [
        ("pencil".to_owned(), "form"),
        (format!("SCRAM-SHA-1$1:c2FsdA==${key}:{key}"), "form"),
        (format!("SCRAM-SHA-256$1:c2FsdA==${key}:{key}$"), "form"),
        (format!("SCRAM-SHA-256$1${key}:{key}"), "form"),
        (format!("SCRAM-SHA-256$1:c2FsdA==${key}"), "form"),
        (format!("SCRAM-SHA-256$0:c2FsdA==${key}:{key}"), "number of iterations"),
        (format!("SCRAM-SHA-256$+1:c2FsdA==${key}:{key}"), "number of iterations"),
        (format!("SCRAM-SHA-256$:c2FsdA==${key}:{key}"), "number of iterations"),
        (format!("SCRAM-SHA-256$4294967296:c2FsdA==${key}:{key}"), "number of iterations"),
        (format!("SCRAM-SHA-256$1:c2FsdA=${key}:{key}"), "salt"),
        (format!("SCRAM-SHA-256$1:c2FsdA==${long_key}:{key}"), "stored key"),
        (format!("SCRAM-SHA-256$1:c2FsdA==${key}:{}", &key[1..]), "server key"),
    ] {
        assert_eq!(Verifier::parse(&wrong), Err(VerifierError { what }), "{wrong}");
    }
}

#[test]
fn secrets_do_not_show_in_debug() {
    let keys = SaltedKeys::derive(PENCIL, b"salt", 2);
    let (first, _) = client(PENCIL);
    let needs = client(PENCIL).0.on_server_first(b"r=clientserver,s=c2FsdA==,i=2").unwrap();
    let shown = format!(
        "{:?} {:?} {:?} {first:?} {:?} {:?}",
        needs.derivation(),
        keys.verifier(),
        ClientKey(keys.client_key),
        ClientSecret::Keys(keys.clone()),
        keys
    );
    // A byte array or string of the password or of a key would show as one of these.
    assert!(!shown.contains("pencil") && !shown.contains('['), "{shown}");
}

#[test]
fn the_first_message_of_a_client_is_checked() {
    let check = |message: &str, error: Option<ScramError>| {
        let server = ServerFirst::new(quick_verifier(), "server".to_owned(), None);
        let outcome = server.on_client_first(Mechanism::Plain, message.as_bytes());
        assert_eq!(outcome.err(), error, "{message}");
    };
    let malformed = |what| Some(ScramError::Malformed { what });
    check("n,,n=app,r=abc", None);
    check("y,,n=,r=abc", None);
    check("n,,n=,r=abc,x=extension", None);
    check("n,a=admin,n=,r=abc", Some(ScramError::AuthorizationIdentity));
    check("n,,m=must,n=,r=abc", Some(ScramError::MandatoryExtension));
    check("n,b,n=,r=abc", malformed("header"));
    check("n", malformed("header"));
    check("n,", malformed("header"));
    check("n,,", malformed("user name"));
    check("n,,r=abc", malformed("user name"));
    check("n,,n=app", malformed("nonce"));
    check("n,,n=app,r=", malformed("nonce"));
    check("n,,n=app,r=a b", malformed("nonce"));
    check(&format!("n,,n=,r={}", "x".repeat(1016)), None);
    check(&format!("n,,n=,r={}", "x".repeat(1017)), malformed("length"));
    let server = ServerFirst::new(quick_verifier(), "server".to_owned(), None);
    let not_utf8 = server.on_client_first(Mechanism::Plain, b"n,,n=\xff,r=abc");
    assert_eq!(not_utf8.err(), malformed("encoding"));
}

#[test]
fn the_final_message_of_a_client_is_checked() {
    let check = |message: String, error: ScramError| {
        let refused = rfc_server().on_client_final(message.as_bytes()).unwrap_err();
        assert_eq!(refused, error, "{message}");
    };
    let malformed = |what| ScramError::Malformed { what };
    let right = RFC_CLIENT_FINAL;
    check(right.replace("biws", "eSws"), ScramError::ChannelBindingMismatch);
    check(right.replace("rOprN", "rOprM"), ScramError::NonceMismatch);
    check(right.replace("$k0,", "$k,"), ScramError::NonceMismatch);
    check(right.replace("dHzb", "dHzc"), ScramError::WrongProof);
    check(right.replace(",p=dHzb", ",x=1,p=dHzb"), ScramError::WrongProof);
    check(right.replace("VQ=", "V"), malformed("proof"));
    check(right.replace(",p=", ","), malformed("proof"));
    check(right.replace("c=", "d="), malformed("channel binding"));
    check(right.replace(",r=", ",n="), malformed("nonce"));
    for cut in 0..right.len() {
        assert!(rfc_server_quick().on_client_final(&right.as_bytes()[..cut]).is_err());
    }
}

/// As [`rfc_server`], with nonce and verifier that need no derivation.
fn rfc_server_quick() -> AwaitingProof {
    let server = ServerFirst::new(quick_verifier(), RFC_SERVER_NONCE.to_owned(), None);
    server.on_client_first(Mechanism::Plain, RFC_CLIENT_FIRST.as_bytes()).unwrap().0
}

#[test]
fn the_first_message_of_a_server_is_checked() {
    let check = |message: &str, error: Option<ScramError>| {
        let refused = client(PENCIL).0.on_server_first(message.as_bytes()).err();
        assert_eq!(refused, error, "{message}");
    };
    let malformed = |what| Some(ScramError::Malformed { what });
    check("r=clientserver,s=c2FsdA==,i=4096", None);
    check("r=clientserver,s=c2FsdA==,i=1000000", None);
    check("r=client,s=c2FsdA==,i=4096", Some(ScramError::NonceMismatch));
    check("r=xclientserver,s=c2FsdA==,i=4096", Some(ScramError::NonceMismatch));
    check("r=client server,s=c2FsdA==,i=4096", malformed("nonce"));
    check("m=must,r=clientserver,s=c2FsdA==,i=1", Some(ScramError::MandatoryExtension));
    check("r=clientserver,s=,i=4096", malformed("salt"));
    check("r=clientserver,s=?,i=4096", malformed("salt"));
    check("r=clientserver,i=4096", malformed("salt"));
    check("r=clientserver,s=c2FsdA==", malformed("number of iterations"));
    check("r=clientserver,s=c2FsdA==,i=", malformed("number of iterations"));
    check("r=clientserver,s=c2FsdA==,i=0", malformed("number of iterations"));
    check("r=clientserver,s=c2FsdA==,i=-1", malformed("number of iterations"));
    let too_many = |iterations| Some(ScramError::TooManyIterations { iterations });
    check("r=clientserver,s=c2FsdA==,i=1000001", too_many(1_000_001));
    check("r=clientserver,s=c2FsdA==,i=4294967297", too_many(4_294_967_297));
    let refused = ScramError::Refused { reason: "unknown-user".to_owned() };
    check("e=unknown-user", Some(refused));
    let message = "r=clientserver,s=c2FsdA==,i=4096";
    // A cut inside the number leaves a smaller number, which is valid.
    for cut in 0..=message.len() - 4 {
        assert!(client(PENCIL).0.on_server_first(&message.as_bytes()[..cut]).is_err());
    }
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let awaiting = || AwaitingServerFinal { expected: [7; KEY_BYTES] };
    let signed = |key: [u8; KEY_BYTES]| format!("v={}", BASE64.encode(key));
    assert_eq!(awaiting().on_server_final(signed([7; 32]).as_bytes()), Ok(Authenticated(())));
    let impostor = awaiting().on_server_final(signed([8; 32]).as_bytes());
    assert_eq!(impostor, Err(ScramError::WrongServerSignature));
    let refused = ScramError::Refused { reason: "invalid-proof".to_owned() };
    assert_eq!(awaiting().on_server_final(b"e=invalid-proof"), Err(refused));
    let right = signed([7; 32]);
    for cut in 0..right.len() {
        assert!(awaiting().on_server_final(&right.as_bytes()[..cut]).is_err());
    }
}

#[test]
fn passwords_are_prepared_as_postgresql_does_it() {
    let check = |password: &[u8], prepared: &[u8]| assert_eq!(prepare(password), prepared);
    check(b"pencil", b"pencil");
    // RFC 4013, section 3.
    check("I\u{ad}X".as_bytes(), b"IX");
    check("\u{aa}".as_bytes(), b"a");
    check("\u{2168}".as_bytes(), b"IX");
    // What may not be prepared is used as it is.
    check(b"\x07", b"\x07");
    check("\u{627}1".as_bytes(), "\u{627}1".as_bytes());
    check(b"\xff\xfe", b"\xff\xfe");
    check("\u{ad}".as_bytes(), "\u{ad}".as_bytes());
    check(b"", b"");
}

#[test]
fn a_key_longer_than_a_block_is_hashed_first() {
    // RFC 4231, test case 6.
    let mac = hmac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - ", b"Hash Key First"]);
    assert_eq!(
        BASE64.encode(mac),
        BASE64.encode(
            b"\x60\xe4\x31\x59\x1e\xe0\xb6\x7f\x0d\x8a\x26\xaa\xcb\xf5\xb7\x7f\
              \x8e\x0b\xc6\x21\x37\x28\xc5\x14\x05\x46\x04\x0f\x0e\xe3\x7f\x54"
        )
    );
}
