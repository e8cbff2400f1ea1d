//! Serves a registry from a directory: `serve <directory> [address [TLS address]] [--settings FILE]`. Prints the addresses,
//! a line each, once it answers there. Over TLS with the certificate of the authority in `<directory>/tls/ca.pem`. Without
//! settings everybody may do everything. With the variable `UPSTREAM` set to the URL of a registry, what that has is below
//! `up/` here.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use trustnet_registry::{
    Care, Extras, Keeper, Limits, LiveSettings, Names, Options, OsFiles, Plan, Registry, Store,
    UpstreamSettings, Upstreams, now_seconds, serve, serve_tls,
};

const USAGE: &str = "usage: serve <directory> [address [TLS address]] [--settings FILE]";

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let mut places = Vec::new();
    let mut settings = LiveSettings::open();
    while let Some(argument) = args.next() {
        match argument.as_str() {
            "--settings" => settings = LiveSettings::follow(args.next().ok_or(USAGE)?)?,
            _ => places.push(argument),
        }
    }
    let mut places = places.into_iter();
    let directory = places.next().ok_or(USAGE)?;
    let address = places.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let tls_address = places.next();
    // As few threads as a small board wants: each costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Arc::new(Store::open(OsFiles::new(&directory), &Options::default())?);
        let _care = Care::start(Arc::clone(&store), Plan::default())?;
        let upstreams = std::env::var("UPSTREAM").ok().map(|url| UpstreamSettings::new("up", &url));
        let upstreams = Arc::new(Upstreams::open(upstreams.as_slice())?);
        let limits = settings.now().limits.apply(&Limits::default());
        let registry = Registry::with(store, limits, Extras { settings, upstreams, ..Extras::default() });
        let listener = TcpListener::bind(address).await?;
        println!("{}", listener.local_addr()?);
        if let Some(address) = tls_address {
            let names = || Names::of_machine("localhost", &[], &[]);
            let keeper = Keeper::open(Path::new(&directory), &names()?, now_seconds())?;
            let certificates = keeper.certificates();
            let listener = TcpListener::bind(address).await?;
            println!("{}", listener.local_addr()?);
            let registry = Arc::clone(&registry);
            tokio::spawn(async move { serve_tls(listener, registry, &certificates).await });
            tokio::spawn(keeper.run(names));
        }
        serve(listener, registry).await?;
        Ok(())
    })
}
