//! Every decoder over the same bytes, for fuzzers and property tests. Not part of the interface.

use crate::{backend, frame, frontend, scram, sqlstate, startup};

/// Runs each decoder over `data`, and looks at all that decodes.
///
/// # Panics
/// What was decoded does not encode to the bytes from which it came.
pub fn everything(data: &[u8]) {
    let _front = frame::front(data, u64::MAX);
    let _code = sqlstate::SqlState::from_bytes(data);
    let _password = frontend::password(data);
    first_packet(data);
    for tag in frontend::Tag::ALL {
        if let Ok(message) = frontend::Message::decode(tag, data) {
            let mut out = Vec::new();
            assert_eq!(message.encode(&mut out), Ok(()), "{message:?}");
            assert_eq!(out.get(frame::HEADER_BYTES..), Some(data), "{message:?}");
        }
    }
    if let Ok(initial) = frontend::SaslInitial::decode(data) {
        let mut out = Vec::new();
        assert_eq!(initial.encode(&mut out), Ok(()), "{initial:?}");
        assert!(out.ends_with(initial.response.unwrap_or_default()), "{initial:?}");
    }
    for tag in backend::Tag::ALL {
        if let Ok(message) = backend::Message::decode(tag, data) {
            backend_message(&message, data);
        }
    }
    scram_steps(data);
}

fn first_packet(data: &[u8]) {
    let _front = startup::front(data);
    if let Ok(startup::Packet::Startup(startup)) = startup::decode(data) {
        let mut out = Vec::new();
        startup.negotiate().encode(&mut out);
        out.clear();
        let encoded = startup::push_startup(&mut out, startup.version, startup.parameters());
        assert_eq!(encoded, Ok(()), "{startup:?}");
        assert_eq!(out, data, "{startup:?}");
    }
}

fn backend_message(message: &backend::Message<'_>, data: &[u8]) {
    use backend::{Authentication, Message};
    let mut out = Vec::new();
    assert_eq!(message.encode(&mut out), Ok(()), "{message:?}");
    match message {
        // Its bytes are not kept.
        Message::Authentication(Authentication::Other(_)) => {}
        // Its version is read in two ways and written in one.
        Message::NegotiateProtocolVersion { options, .. } => {
            assert_eq!(options.iter().count(), options.count());
        }
        Message::ErrorResponse(fields) | Message::NoticeResponse(fields) => {
            let _all = (fields.severity(), fields.sqlstate(), fields.iter().count());
            assert_eq!(out.get(frame::HEADER_BYTES..), Some(data), "{message:?}");
        }
        _ => assert_eq!(out.get(frame::HEADER_BYTES..), Some(data), "{message:?}"),
    }
}

fn scram_steps(data: &[u8]) {
    use scram::{ClientFirst, ClientSecret, SaltedKeys, ServerFirst, Verifier};
    let _verifier = str::from_utf8(data).map(Verifier::parse);
    let verifier = || Verifier::mock(b"user", &[0; 32]);
    let _first = ServerFirst::new(verifier(), "server".to_owned()).on_client_first(data);
    let server = ServerFirst::new(verifier(), "server".to_owned());
    if let Ok((server, _)) = server.on_client_first(b"n,,n=,r=client") {
        let _final = server.on_client_final(data);
    }
    let keys = SaltedKeys {
        salt: b"salt".to_vec(),
        iterations: 1,
        client_key: [0; 32],
        server_key: [0; 32],
    };
    let client = || ClientFirst::new(ClientSecret::Keys(keys.clone()), "client".to_owned()).0;
    let _first = client().on_server_first(data);
    if let Ok(needs) = client().on_server_first(b"r=clientserver,s=c2FsdA==,i=1")
        && let Ok((client, _)) = needs.answer(&keys)
    {
        let _final = client.on_server_final(data);
    }
}
