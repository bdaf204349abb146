//! Every message: round trip, cut at every byte, each length field off by one; and bytes that
//! nobody meant.

use proptest::prelude::*;
use tidegate_wire::body::{DecodeError, EncodeError};
use tidegate_wire::frame::{Front, HEADER_BYTES, front};
use tidegate_wire::sqlstate::SqlState;
use tidegate_wire::{backend, frontend, fuzzing, startup};

use backend::{Authentication, Severity, TransactionStatus};
use frontend::{SaslInitial, Target};

/// A tag, a body, where the body's length or count fields stand with their widths, and whether
/// it is open-ended: the end of its last field is the end of the frame, so that what is longer
/// is valid, and what is shorter down to `open_from`.
struct Case<T> {
    tag: T,
    body: &'static [u8],
    lengths: &'static [(usize, usize)],
    open_from: Option<usize>,
}

const fn case<T>(tag: T, body: &'static [u8]) -> Case<T> {
    Case { tag, body, lengths: &[], open_from: None }
}

const fn with_lengths<T>(
    tag: T,
    body: &'static [u8],
    lengths: &'static [(usize, usize)],
) -> Case<T> {
    Case { tag, body, lengths, open_from: None }
}

const fn open<T>(tag: T, body: &'static [u8], open_from: usize) -> Case<T> {
    Case { tag, body, lengths: &[], open_from: Some(open_from) }
}

fn frontend_cases() -> Vec<Case<frontend::Tag>> {
    use frontend::Tag::*;
    vec![
        open(Bind, b"portal\0s1\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x2a\0\0", 10),
        case(Close, b"Ss1\0"),
        case(Close, b"P\0"),
        open(CopyData, b"1\tone\n", 0),
        case(CopyDone, b""),
        case(CopyFail, b"no more\0"),
        case(Describe, b"Pportal\0"),
        case(Execute, b"portal\0\0\0\0\x64"),
        case(Flush, b""),
        open(FunctionCall, b"\0\0\0\x01\0\0\0\0\0\0", 0),
        with_lengths(Parse, b"s1\0SELECT $1\0\0\x01\0\0\0\x17", &[(13, 2)]),
        with_lengths(Parse, b"\0SELECT 1\0\0\0", &[(10, 2)]),
        open(Password, b"secret\0", 0),
        case(Query, b"SELECT 1\0"),
        case(Sync, b""),
        case(Terminate, b""),
    ]
}

fn backend_cases() -> Vec<Case<backend::Tag>> {
    use backend::Tag::*;
    vec![
        case(Authentication, b"\0\0\0\0"),
        case(Authentication, b"\0\0\0\x03"),
        case(Authentication, b"\0\0\0\x05salt"),
        case(Authentication, b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
        open(Authentication, b"\0\0\0\x0br=abc", 4),
        open(Authentication, b"\0\0\0\x0cv=abc", 4),
        open(BackendKeyData, b"\0\0\x10\0\x01\x02\x03\x04", 8),
        case(BindComplete, b""),
        case(CloseComplete, b""),
        case(CommandComplete, b"INSERT 0 1\0"),
        with_lengths(CopyBothResponse, b"\0\0\0", &[(1, 2)]),
        open(CopyData, b"1\tone\n", 0),
        case(CopyDone, b""),
        with_lengths(CopyInResponse, b"\x01\0\x02\0\x01\0\x01", &[(1, 2)]),
        with_lengths(CopyOutResponse, b"\0\0\x01\0\0", &[(1, 2)]),
        with_lengths(
            DataRow,
            b"\0\x03\0\0\0\x03one\xff\xff\xff\xff\0\0\0\0",
            // Not the other two: from NULL (-1) to empty (0) and back is from valid to valid.
            &[(0, 2), (2, 4)],
        ),
        case(EmptyQueryResponse, b""),
        case(ErrorResponse, b"SFEHLER\0VERROR\0C42601\0Msyntax error\0P8\0\0"),
        with_lengths(FunctionCallResponse, b"\0\0\0\x02ab", &[(0, 4)]),
        with_lengths(
            NegotiateProtocolVersion,
            b"\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0",
            &[(4, 4)],
        ),
        case(NoData, b""),
        case(NoticeResponse, b"SNOTICE\0C00000\0Mhello\0\0"),
        case(NotificationResponse, b"\0\0\x10\0jobs\0{}\0"),
        with_lengths(ParameterDescription, b"\0\x02\0\0\0\x17\0\0\0\x19", &[(0, 2)]),
        case(ParameterStatus, b"TimeZone\0UTC\0"),
        case(ParseComplete, b""),
        case(PortalSuspended, b""),
        case(ReadyForQuery, b"T"),
        with_lengths(
            RowDescription,
            b"\0\x01id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
            &[(0, 2)],
        ),
    ]
}

/// Body after body that differs from the case's in one length field, by one.
fn off_by_one<T>(case: &Case<T>) -> Vec<Vec<u8>> {
    let mut wrong = Vec::new();
    for (at, width) in case.lengths {
        for by in [-1i64, 1] {
            let mut body = case.body.to_vec();
            let field = &mut body[*at..at + width];
            let value = field.iter().fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
            let bytes = value.wrapping_add_signed(by).to_be_bytes();
            field.copy_from_slice(&bytes[8 - width..]);
            wrong.push(body);
        }
    }
    wrong
}

fn check<T: Copy>(
    case: &Case<T>,
    tag_byte: u8,
    recode: impl Fn(T, &[u8]) -> Result<Vec<u8>, DecodeError>,
) {
    let body = case.body;
    let frame = recode(case.tag, body).unwrap_or_else(|e| panic!("{e}: {body:?}"));
    let frame_bytes = u64::try_from(frame.len()).unwrap();
    assert_eq!(front(&frame, u64::MAX), Ok(Front::Frame { tag: tag_byte, frame_bytes }));
    assert_eq!(&frame[HEADER_BYTES..], body);
    for cut in 0..body.len() {
        let may_pass = case.open_from.is_some_and(|from| cut >= from);
        assert_eq!(recode(case.tag, &body[..cut]).is_ok(), may_pass, "{body:?} cut at {cut}");
    }
    let longer = [body, b"\0"].concat();
    assert_eq!(recode(case.tag, &longer).is_ok(), case.open_from.is_some(), "{longer:?}");
    for wrong in off_by_one(case) {
        assert!(recode(case.tag, &wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_frontend_message_round_trips_and_no_cut_one_decodes() {
    let cases = frontend_cases();
    for tag in frontend::Tag::ALL {
        assert_eq!(frontend::Tag::from_byte(tag.byte()), Some(tag));
        assert!(cases.iter().any(|case| case.tag == tag), "{tag:?}");
    }
    for case in &cases {
        check(case, case.tag.byte(), |tag, body| {
            let message = frontend::Message::decode(tag, body)?;
            assert_eq!(message.tag(), tag);
            let mut out = Vec::new();
            message.encode(&mut out).unwrap();
            Ok(out)
        });
    }
}

#[test]
fn every_backend_message_round_trips_and_no_cut_one_decodes() {
    let cases = backend_cases();
    for tag in backend::Tag::ALL {
        assert_eq!(backend::Tag::from_byte(tag.byte()), Some(tag));
        assert!(cases.iter().any(|case| case.tag == tag), "{tag:?}");
    }
    for case in &cases {
        check(case, case.tag.byte(), |tag, body| {
            let message = backend::Message::decode(tag, body)?;
            assert_eq!(message.tag(), tag);
            let mut out = Vec::new();
            message.encode(&mut out).unwrap();
            Ok(out)
        });
    }
}

#[test]
fn no_byte_has_two_tags_and_the_rest_have_none() {
    let known = |from_byte: &dyn Fn(u8) -> bool| (0..=255).filter(|b| from_byte(*b)).count();
    assert_eq!(known(&|b| frontend::Tag::from_byte(b).is_some()), frontend::Tag::ALL.len());
    assert_eq!(known(&|b| backend::Tag::from_byte(b).is_some()), backend::Tag::ALL.len());
}

#[test]
fn frontend_messages_decode_to_their_fields() {
    use frontend::{Message, Tag};
    let check = |tag, body, expected| assert_eq!(Message::decode(tag, body), Ok(expected));
    let bind = Message::Bind { portal: b"p", statement: b"s", rest: b"\0\0\0\0\0\0" };
    check(Tag::Bind, b"p\0s\0\0\0\0\0\0\0", bind);
    check(Tag::Close, b"Ss\0", Message::Close { target: Target::Statement, name: b"s" });
    check(Tag::Describe, b"P\0", Message::Describe { target: Target::Portal, name: b"" });
    check(Tag::Execute, b"\0\xff\xff\xff\xff", Message::Execute { portal: b"", rows_max: -1 });
    let parse = Message::Parse { name: b"s", text: b"SELECT 1", parameter_types: b"\0\0\0\x17" };
    check(Tag::Parse, b"s\0SELECT 1\0\0\x01\0\0\0\x17", parse);
    check(Tag::Query, b"SELECT 1\0", Message::Query(b"SELECT 1"));
    let refused = Err(DecodeError::BadValue { field: "target", value: 88 });
    assert_eq!(Message::decode(Tag::Close, b"X\0"), refused);
    assert_eq!(frontend::password(b"secret\0"), Ok(&b"secret"[..]));
    assert!(frontend::password(b"secret").is_err());
    assert!(frontend::password(b"sec\0ret\0").is_err());
}

#[test]
fn backend_messages_decode_to_their_fields() {
    use backend::{Message, Tag};
    let check = |tag, body, expected| assert_eq!(Message::decode(tag, body), Ok(expected));
    let auth = Message::Authentication;
    check(Tag::Authentication, b"\0\0\0\0", auth(Authentication::Ok));
    check(
        Tag::Authentication,
        b"\0\0\0\x05salt",
        auth(Authentication::Md5Password { salt: *b"salt" }),
    );
    check(Tag::Authentication, b"\0\0\0\x07", auth(Authentication::Other(7)));
    let key = Message::BackendKeyData { pid: 4096, secret: &[1, 2, 3, 4] };
    check(Tag::BackendKeyData, b"\0\0\x10\0\x01\x02\x03\x04", key);
    let notification = Message::NotificationResponse { pid: 7, channel: b"jobs", payload: b"{}" };
    check(Tag::NotificationResponse, b"\0\0\0\x07jobs\0{}\0", notification);
    let status = Message::ParameterStatus { name: b"TimeZone", value: b"UTC" };
    check(Tag::ParameterStatus, b"TimeZone\0UTC\0", status);
    for status in
        [TransactionStatus::Idle, TransactionStatus::InTransaction, TransactionStatus::Failed]
    {
        let ready = Message::ReadyForQuery(status);
        assert_eq!(Message::decode(Tag::ReadyForQuery, &[status.byte()]), Ok(ready));
    }
    assert!(Message::decode(Tag::ReadyForQuery, b"X").is_err());
    let Ok(Message::Authentication(Authentication::Sasl { mechanisms })) =
        Message::decode(Tag::Authentication, b"\0\0\0\x0aONE\0TWO\0\0")
    else {
        panic!("no SASL");
    };
    assert_eq!(mechanisms.iter().collect::<Vec<_>>(), [b"ONE", b"TWO"]);
    assert!(mechanisms.contains(b"TWO") && !mechanisms.contains(b""));
}

#[test]
fn secrets_have_4_to_256_bytes() {
    use backend::{Message, Tag};
    for (secret_bytes, is_valid) in [(0, false), (3, false), (4, true), (256, true), (257, false)] {
        let body = vec![1; 4 + secret_bytes];
        let decoded = Message::decode(Tag::BackendKeyData, &body);
        assert_eq!(decoded.is_ok(), is_valid, "{secret_bytes}");
        let mut out = vec![9];
        let message = Message::BackendKeyData { pid: 1, secret: &body[4..] };
        assert_eq!(message.encode(&mut out).is_ok(), is_valid);
        assert_eq!(out.len() > 1, is_valid, "a refused message leaves nothing behind");
    }
}

#[test]
fn debug_shows_messages_as_text_and_no_secret() {
    let shown = |message: &dyn std::fmt::Debug| format!("{message:?}");
    assert_eq!(shown(&frontend::Message::Query(b"SELECT 'x'")), r#"Query("SELECT \'x\'\x00")"#);
    assert_eq!(shown(&frontend::Message::Password(b"pencil\0")), "Password(..)");
    let key = backend::Message::BackendKeyData { pid: 7, secret: b"pencil" };
    assert_eq!(shown(&key), "BackendKeyData(7, ..)");
    assert_eq!(shown(&startup::Packet::Cancel { pid: 7, secret: b"pencil" }), "Cancel(7, ..)");
    let fields = backend::Fields::decode(b"Mno\0\0").unwrap();
    assert_eq!(shown(&fields), r#"Fields("Mno\x00\x00")"#);
}

#[test]
fn the_negotiated_version_is_read_as_sent_and_as_documented() {
    use backend::{Message, Tag};
    let minor = |body: &[u8]| match Message::decode(Tag::NegotiateProtocolVersion, body) {
        Ok(Message::NegotiateProtocolVersion { minor, .. }) => Some(minor),
        _ => None,
    };
    assert_eq!(minor(b"\0\x03\0\x02\0\0\0\0"), Some(2));
    assert_eq!(minor(b"\0\0\0\x02\0\0\0\0"), Some(2));
    assert_eq!(minor(b"\0\x04\0\x02\0\0\0\0"), None);
    assert_eq!(minor(b"\0\x03\0\x02\xff\xff\xff\xff"), None);
}

#[test]
fn fields_of_an_error_are_found_by_their_code() {
    let body = b"SFEHLER\0VERROR\0C42601\0Mfirst\0Dmore\0Hdo\0Msecond\0\0";
    let fields = backend::Fields::decode(body).unwrap();
    assert_eq!(fields.severity(), Some(Severity::Error));
    assert_eq!(fields.sqlstate(), Some(SqlState::SYNTAX_ERROR));
    assert_eq!(fields.message(), Some(&b"first"[..]));
    assert_eq!(fields.detail(), Some(&b"more"[..]));
    assert_eq!(fields.hint(), Some(&b"do"[..]));
    assert_eq!(fields.value(b'P'), None);
    assert_eq!(fields.iter().count(), 7);
    // PostgreSQL before 9.6, and poolers, send no V.
    let old = backend::Fields::decode(b"SFATAL\0Cno\0\0").unwrap();
    assert_eq!((old.severity(), old.sqlstate()), (Some(Severity::Fatal), None));
    let none = backend::Fields::decode(b"\0").unwrap();
    assert_eq!((none.severity(), none.message()), (None, None));
}

#[test]
fn what_would_break_the_frame_is_not_encoded() {
    use backend::Message as B;
    use frontend::Message as F;
    let zero = b"a\0b";
    let refused: [(Result<(), EncodeError>, &str); 8] = [
        (F::Query(zero).encode(&mut Vec::new()), "query text"),
        (
            F::Bind { portal: zero, statement: b"", rest: b"" }.encode(&mut Vec::new()),
            "portal name",
        ),
        (
            F::Parse { name: b"", text: zero, parameter_types: b"" }.encode(&mut Vec::new()),
            "statement text",
        ),
        (SaslInitial { mechanism: zero, response: None }.encode(&mut Vec::new()), "mechanism"),
        (B::CommandComplete(zero).encode(&mut Vec::new()), "command tag"),
        (B::ParameterStatus { name: b"x", value: zero }.encode(&mut Vec::new()), "parameter value"),
        (
            B::NotificationResponse { pid: 1, channel: zero, payload: b"" }.encode(&mut Vec::new()),
            "channel",
        ),
        (frontend::push_close(&mut Vec::new(), Target::Statement, zero), "name to close"),
    ];
    for (result, field) in refused {
        assert_eq!(result, Err(EncodeError::ZeroByte { field }));
    }
    for types in [&[0; 3][..], &[0; 4 * 65_536]] {
        let mut out = vec![1];
        let parse = F::Parse { name: b"", text: b"", parameter_types: types };
        let refused = Err(EncodeError::BadValue { field: "parameter types" });
        assert_eq!(parse.encode(&mut out), refused);
        assert_eq!(out, [1]);
    }
}

#[test]
fn a_sasl_initial_response_round_trips() {
    for response in [None, Some(&b""[..]), Some(b"n,,n=,r=abc")] {
        let initial = SaslInitial { mechanism: b"SCRAM-SHA-256", response };
        let mut out = Vec::new();
        initial.encode(&mut out).unwrap();
        let body = &out[HEADER_BYTES..];
        assert_eq!(SaslInitial::decode(body), Ok(initial));
        for cut in 0..body.len() {
            assert!(SaslInitial::decode(&body[..cut]).is_err());
        }
        for by in [-1i32, 1] {
            let mut wrong = body.to_vec();
            let length = i32::try_from(response.map_or(0, <[u8]>::len)).unwrap() + by;
            let length = if response.is_none() { -1 + by } else { length };
            // From nothing down to -1 is from an empty response to none, which is valid.
            if length != -1 && !(response.is_none() && length == 0) {
                wrong[14..18].copy_from_slice(&length.to_be_bytes());
                assert!(SaslInitial::decode(&wrong).is_err(), "{wrong:?}");
            }
        }
    }
}

#[test]
fn what_the_push_helpers_write_is_what_encode_writes() {
    use backend::Message as B;
    use frontend::Message as F;
    let frontend = |message: F<'_>, push: &dyn Fn(&mut Vec<u8>)| {
        let (mut encoded, mut pushed) = (Vec::new(), Vec::new());
        message.encode(&mut encoded).unwrap();
        push(&mut pushed);
        assert_eq!(encoded, pushed, "{message:?}");
    };
    frontend(F::Query(b"SELECT 1"), &|out| frontend::push_query(out, b"SELECT 1"));
    frontend(F::Sync, &|out| frontend::push_sync(out));
    frontend(F::Flush, &|out| frontend::push_flush(out));
    frontend(F::Terminate, &|out| frontend::push_terminate(out));
    frontend(F::CopyDone, &|out| frontend::push_copy_done(out));
    frontend(F::CopyFail(b"why"), &|out| frontend::push_copy_fail(out, b"why"));
    frontend(F::Password(b"secret\0"), &|out| frontend::push_password(out, b"secret"));
    frontend(F::Password(b"c=biws"), &|out| frontend::push_sasl_response(out, b"c=biws"));

    let backend = |message: B<'_>, push: &dyn Fn(&mut Vec<u8>)| {
        let (mut encoded, mut pushed) = (Vec::new(), Vec::new());
        message.encode(&mut encoded).unwrap();
        push(&mut pushed);
        assert_eq!(encoded, pushed, "{message:?}");
    };
    let auth = B::Authentication;
    backend(auth(Authentication::Ok), &|out| backend::push_auth_ok(out));
    backend(auth(Authentication::CleartextPassword), &|out| backend::push_auth_cleartext(out));
    backend(auth(Authentication::Md5Password { salt: [1, 2, 3, 4] }), &|out| {
        backend::push_auth_md5(out, [1, 2, 3, 4]);
    });
    backend(auth(Authentication::SaslContinue(b"r=x")), &|out| {
        backend::push_auth_sasl_continue(out, b"r=x");
    });
    backend(auth(Authentication::SaslFinal(b"v=x")), &|out| {
        backend::push_auth_sasl_final(out, b"v=x");
    });
    backend(B::BackendKeyData { pid: 9, secret: b"abcd" }, &|out| {
        backend::push_backend_key_data(out, 9, b"abcd");
    });
    backend(B::ParameterStatus { name: b"a", value: b"b" }, &|out| {
        backend::push_parameter_status(out, b"a", b"b");
    });
    backend(B::ReadyForQuery(TransactionStatus::Failed), &|out| {
        backend::push_ready(out, TransactionStatus::Failed);
    });
    backend(B::CommandComplete(b"SET"), &|out| backend::push_command_complete(out, b"SET"));
    backend(B::EmptyQueryResponse, &|out| backend::push_empty_query_response(out));
    backend(B::ParseComplete, &|out| backend::push_bare(out, backend::Tag::ParseComplete));

    let mut out = Vec::new();
    backend::push_bare(&mut out, backend::Tag::DataRow);
    assert_eq!(out, [], "a DataRow is more than its tag");
    backend::push_auth_sasl(&mut out, &["SCRAM-SHA-256"]);
    assert_eq!(out, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0");
}

#[test]
fn a_notice_is_an_error_with_another_tag() {
    let report = backend::Report {
        severity: Severity::Warning,
        sqlstate: SqlState::SUCCESSFUL_COMPLETION,
        message: "zero\0byte",
        detail: None,
        hint: Some("look"),
    };
    let mut out = Vec::new();
    backend::push_notice(&mut out, &report);
    let body = b"SWARNING\0VWARNING\0C00000\0Mzerobyte\0Hlook\0\0";
    let length = u8::try_from(4 + body.len()).unwrap();
    assert_eq!(out, [&[b'N', 0, 0, 0, length], &body[..]].concat());
    let mut error = Vec::new();
    backend::push_error(&mut error, &report);
    assert_eq!((error[0], &error[1..]), (b'E', &out[1..]));
}

/// Bytes near to messages: a case's body with a few bytes changed.
fn nearly_a_message() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<&'static [u8]> = frontend_cases()
        .iter()
        .map(|case| case.body)
        .chain(backend_cases().iter().map(|case| case.body))
        .chain([
            &b"\0\0\0\x26\0\x03\0\0user\0app\0database\0orders\0\0"[..],
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01abcd",
            b"n,,n=,r=client",
            b"r=clientserver,s=c2FsdA==,i=4096",
            b"c=biws,r=clientserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ])
        .collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(bodies), changes).prop_map(|(body, changes)| {
        let mut body = body.to_vec();
        for (at, byte) in changes {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_decoder_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::everything(&data);
    }

    #[test]
    fn no_bytes_near_to_messages_make_a_decoder_panic(data in nearly_a_message()) {
        fuzzing::everything(&data);
    }
}
