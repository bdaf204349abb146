//! Real messages, as the material that is then broken.

/// A message: its tag (0 for the first packet, which has none) and its body.
type Message = (u8, &'static [u8]);

/// With header, as the wire carries it.
pub(crate) fn framed((tag, body): Message) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("these are short");
    let tag: &[u8] = if tag == 0 { &[] } else { &[tag] };
    [tag, &length.to_be_bytes(), body].concat()
}

/// In the order of PostgreSQL's documentation (PostgreSQL 17, 53.7), without the large ones.
pub(crate) const MESSAGES: &[Message] = &[
    // From PostgreSQL.
    (b'R', b"\0\0\0\0"),
    (b'R', b"\0\0\0\x03"),
    (b'R', b"\0\0\0\x05salt"),
    (b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
    (b'R', b"\0\0\0\x0br=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
    (b'R', b"\0\0\0\x0cv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
    (b'K', b"\0\0\x30\x39\x01\x02\x03\x04"),
    (b'2', b""),
    (b'3', b""),
    (b'C', b"SELECT 1\0"),
    (b'C', b"INSERT 0 5\0"),
    (b'd', b"1\tone\n"),
    (b'c', b""),
    (b'G', b"\0\0\x02\0\0\0\0"),
    (b'H', b"\0\0\x01\0\0"),
    (b'W', b"\0\0\0"),
    (b'D', b"\0\x02\0\0\0\x011\xff\xff\xff\xff"),
    (b'I', b""),
    (b'E', b"SERROR\0VERROR\0C42601\0Msyntax error at or near \"x\"\0P8\0Fscan.l\0L1188\0Rscanner_yyerror\0\0"),
    (b'E', b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0"),
    (b'N', b"SWARNING\0VWARNING\0C01000\0Mcareful\0Dwhy\0Hhow\0\0"),
    (b'v', b"\0\x03\0\0\0\0\0\x01_pq_.option\0"),
    (b'n', b""),
    (b'A', b"\0\0\x30\x39channel\0payload\0"),
    (b't', b"\0\x01\0\0\0\x17"),
    (b'S', b"server_version\x0015.14\0"),
    (b'S', b"client_encoding\0UTF8\0"),
    (b'1', b""),
    (b's', b""),
    (b'Z', b"I"),
    (b'Z', b"T"),
    (b'Z', b"E"),
    (b'T', b"\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
    // To PostgreSQL.
    (b'B', b"portal\0statement\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\x01\0\x01"),
    (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xff\0\0"),
    (b'C', b"Sstatement\0"),
    (b'C', b"P\0"),
    (b'f', b"no more\0"),
    (b'D', b"Sstatement\0"),
    (b'D', b"P\0"),
    (b'E', b"\0\0\0\0\0"),
    (b'E', b"portal\0\0\0\0\x64"),
    (b'H', b""),
    (b'F', b"\0\0\x08\x3f\0\0\0\0\0\0"),
    (b'P', b"statement\0SELECT $1\0\0\x01\0\0\0\x17"),
    (b'P', b"\0BEGIN\0\0\0"),
    (b'p', b"md5c0ffee00000000000000000000000000\0"),
    (b'p', b"SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=fyko+d2lbbFgONRv9qkxdawL"),
    (b'p', b"SCRAM-SHA-256-PLUS\0\0\0\0\x35p=tls-server-end-point,,n=,r=fyko+d2lbbFgONRv9qkxdawL"),
    (b'p', b"c=biws,r=fyko3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="),
    (b'Q', b"SELECT 1\0"),
    (b'Q', b"BEGIN\0"),
    (b'Q', b"SET application_name = 'x'; DISCARD ALL\0"),
    (b'Q', b"COPY t FROM STDIN\0"),
    (b'S', b""),
    (b'X', b""),
    // First packets: startup, SSLRequest, GSSENCRequest, CancelRequest.
    (0, b"\0\x03\0\0user\0app\0database\0shop\0application_name\0psql\0\0"),
    (0, b"\0\x03\0\x02user\0app\0_pq_.x\x001\0options\0-c search_path=a\0\0"),
    (0, b"\x04\xd2\x16\x2f"),
    (0, b"\x04\xd2\x16\x30"),
    (0, b"\x04\xd2\x16\x2e\0\0\x30\x39\x01\x02\x03\x04"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_first_packets_have_no_tag() {
        assert_eq!(framed((b'Z', b"I")), b"Z\0\0\0\x05I");
        assert_eq!(framed((0, b"\x04\xd2\x16\x2f")), b"\0\0\0\x08\x04\xd2\x16\x2f");
    }
}
