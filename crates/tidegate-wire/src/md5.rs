//! The answer to AuthenticationMD5Password.
//!
//! Kept for servers that still ask for it. MD5 protects little: prefer [`crate::scram`].

use md5::{Digest, Md5};

/// What goes into the Password message:
/// `"md5" + hex(md5(hex(md5(password + user)) + salt))`.
pub fn response(user: &[u8], password: &[u8], salt: [u8; 4]) -> String {
    let inner = hex(&[password, user]);
    format!("md5{}", hex(&[inner.as_bytes(), &salt]))
}

fn hex(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_hash_is_what_pg_authid_stores() {
        // PostgreSQL 15: SELECT md5('secret' || 'app').
        assert_eq!(hex(&[b"secret", b"app"]), "6a422f785c9e20873908ce25d1736ae2");
    }

    #[test]
    fn the_response_hashes_twice() {
        // PostgreSQL 15: SELECT md5(convert_to(md5('secret' || 'app'), 'UTF8') || '\x01020304').
        assert_eq!(
            response(b"app", b"secret", [1, 2, 3, 4]),
            "md5911f527656472583a006e7727877b33e"
        );
    }
}
