//! The headers that say who sends a request and from where, for trustnet-fuzz.

use std::net::IpAddr;

use super::header::Credentials;
use super::proxies::{Proxies, ProxyAddress};

/// A header.
///
/// # Panics
/// When a name of a user is longer than one may be.
pub fn authorization(text: &str) {
    if let Ok(Credentials::Password { user, .. }) = Credentials::read(text) {
        assert!(user.len() <= super::MAX_USER_BYTES);
    }
}

/// What a proxy says of where a request comes from.
///
/// # Panics
/// When somebody who is no proxy is believed, or what a client wrote counts for more than what the proxy saw.
pub fn forwarded(text: &str) {
    let proxies = ["192.0.2.4", "10.0.0.0/8"].map(|text| ProxyAddress::try_from(text.to_owned()));
    let proxies = Proxies::new(&proxies.map(|proxy| proxy.expect("an address")));
    let [proxy, client, other] = [[10, 0, 0, 1], [203, 0, 113, 9], [198, 51, 100, 1]].map(IpAddr::from);
    assert_eq!(proxies.client(other, text.rsplit(',')), other);
    let seen = format!("{text},{client}");
    assert_eq!(proxies.client(proxy, seen.rsplit(',')), client);
    let _ = proxies.client(proxy, text.rsplit(','));
    let _ = ProxyAddress::try_from(text.to_owned());
}
