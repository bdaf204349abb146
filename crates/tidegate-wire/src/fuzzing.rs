//! Every decoder over the same bytes, for fuzzers and property tests. Not part of the interface.

use crate::{backend, certificate, frame, frontend, scram, sqlstate, startup};

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
    let _end_point = certificate::end_point(data);
    let _validity = certificate::validity::validity(data);
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
    use scram::{
        ChannelBinding, ClientFirst, ClientSecret, Mechanism, SaltedKeys, ServerFirst, Verifier,
    };
    let _verifier = str::from_utf8(data).map(Verifier::parse);
    let end_point = certificate::end_point(CERTIFICATE);
    let server = |end_point: Option<_>| {
        ServerFirst::new(Verifier::mock(b"user", &[0; 32]), "server".to_owned(), end_point)
    };
    for chosen in [Mechanism::Plain, Mechanism::Plus] {
        for end_point in [None, end_point.clone()] {
            let _first = server(end_point).on_client_first(chosen, data);
        }
    }
    if let Ok((server, _)) = server(None).on_client_first(Mechanism::Plain, b"n,,n=,r=client") {
        let _final = server.on_client_final(data);
    }
    let first = b"p=tls-server-end-point,,n=,r=client";
    if let Ok((server, _)) = server(end_point.clone()).on_client_first(Mechanism::Plus, first) {
        let _final = server.on_client_final(data);
    }
    let keys = SaltedKeys {
        salt: b"salt".to_vec(),
        iterations: 1,
        client_key: [0; 32],
        server_key: [0; 32],
    };
    let binding = end_point.map_or(ChannelBinding::NotSupported, ChannelBinding::EndPoint);
    let client = || {
        let secret = ClientSecret::Keys(keys.clone());
        ClientFirst::new(secret, "client".to_owned(), binding.clone()).0
    };
    let _first = client().on_server_first(data);
    if let Ok(needs) = client().on_server_first(b"r=clientserver,s=c2FsdA==,i=1")
        && let Ok((client, _)) = needs.answer(&keys)
    {
        let _final = client.on_server_final(data);
    }
}

/// The least that reads as one: nothing is signed, by ECDSA with SHA-256.
const CERTIFICATE: &[u8] =
    b"\x30\x10\x30\x00\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x00";
