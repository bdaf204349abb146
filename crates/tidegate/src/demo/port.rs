//! TCP ports that people know, or else any that are free.

use std::net::{Ipv4Addr, TcpListener};

use crate::demo::error::DemoError;

/// `wanted` if it is free, otherwise one that the system chooses. It may be taken by somebody else
/// before it is used; then who wanted it says so and ends.
pub(crate) fn free_near(wanted: u16) -> Result<u16, DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(DemoError::io("find a free port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_given() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted = taken.local_addr().unwrap().port();
        assert_ne!(free_near(wanted).unwrap(), wanted);
    }
}
