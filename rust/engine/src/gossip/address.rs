//! Addresses of the wire as those of sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ztransport_gossip::wire::Address;

pub(crate) fn to_wire(address: SocketAddr) -> Address {
    match address.ip() {
        IpAddr::V4(ip) => Address::v4(ip.octets(), address.port()),
        IpAddr::V6(ip) => Address::v6(ip.octets(), address.port()),
    }
}

pub(crate) fn to_ip(address: Address) -> SocketAddr {
    let ip = match address.v4_octets() {
        Some(octets) => IpAddr::V4(Ipv4Addr::from(octets)),
        None => IpAddr::V6(Ipv6Addr::from(address.octets())),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_wire() {
        for text in ["127.0.0.1:80", "[::1]:443"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(to_ip(to_wire(address)), address);
        }
    }
}
