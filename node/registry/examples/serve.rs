//! Serves a registry from a directory: `serve <directory> [address] [settings]`. Prints the address once it answers there.
//! Without settings everybody may do everything.

use std::error::Error;
use std::sync::Arc;

use tokio::net::TcpListener;
use trustnet_registry::{Care, Limits, LiveSettings, Options, OsFiles, Plan, Registry, Store, serve};

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let directory = args.next().ok_or("usage: serve <directory> [address] [settings]")?;
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let settings = args.next().map_or_else(|| Ok(LiveSettings::open()), LiveSettings::follow)?;
    // As few threads as a small board wants: each costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Arc::new(Store::open(OsFiles::new(directory), &Options::default())?);
        let _care = Care::start(Arc::clone(&store), Plan::default())?;
        let listener = TcpListener::bind(address).await?;
        println!("{}", listener.local_addr()?);
        let limits = settings.now().limits.apply(&Limits::default());
        serve(listener, Registry::with_settings(store, limits, settings)).await?;
        Ok(())
    })
}
