//! The commented example says only what the registry understands.

#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use trustnet_registry::{TlsSettings, UpstreamSettings};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    tls: TlsSettings,
    upstream: Vec<UpstreamSettings>,
}

#[test]
fn the_example_of_tls_and_upstreams_is_understood() {
    let example: Example = toml::from_str(include_str!("../tls.example.toml")).unwrap();
    let names = example.tls.names("pi", &["192.0.2.9".parse().unwrap()]).unwrap();
    for host in ["pi", "pi.local", "localhost", "registry.lan", "registry.example.org"] {
        assert!(names.has_host(host), "{host}");
    }
    assert!(example.tls.acme.unwrap().check().is_ok());
    assert_eq!(example.upstream[0].prefix, "docker.io");
    assert_eq!(example.upstream[0].refresh_seconds, 600);
}
