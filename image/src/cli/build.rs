//! `build` and `inspect`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use trustnet::os::{checks, mistakes, settings};
use trustnet_image::archive::tar_gz;
use trustnet_image::build::Settings;
use trustnet_image::cache::sha256_hex;
use trustnet_image::crates;
use trustnet_image::fat;
use trustnet_image::inputs::{BaseKind, Inputs, SourceArgs};
use trustnet_image::outputs;
use trustnet_image::screen::Screen;
use trustnet_image::sign;
use trustnet_image::tree::Node;

use super::Failure;
use super::say::say;

#[derive(clap::Args)]
pub struct BuildArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// A public SSH key for the user warden
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Settings of the node, put onto the card as trustnet.toml
    #[arg(long, value_name = "FILE", conflicts_with = "ssh_key")]
    config: Option<PathBuf>,
    /// Where the image goes; what belongs to it stands beside it
    #[arg(long, value_name = "FILE", default_value = "trustnet.img")]
    out: PathBuf,
    /// Sign the SHA-256 sums with this SSH key, as FILE.sha256.sig
    #[arg(long, value_name = "KEY", conflicts_with = "only_image")]
    sign: Option<PathBuf>,
    /// Only the image, without compressed copy, hashes and lists
    #[arg(long)]
    only_image: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a build without a key says.
const NOBODY: &str = "nobody will be able to log in, because no SSH key was given. Build it with --ssh-key ~/.ssh/id_ed25519.pub, \
                      or put the key into [ssh] keys of trustnet.toml on the card before you start it";

/// What a build with Wi-Fi on a base without it says.
const NO_WIFI: &str = "[wifi] will not be used, because the base debian has no wpa_supplicant. Plug in a cable, or leave out --base debian";

/// A public key as one line, as the node takes it.
pub fn read_public_key(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    if text.contains("PRIVATE KEY") {
        return Err(
            format!("{} is a private key: give the public one, which ends in .pub", path.display()).into()
        );
    }
    if text.trim().lines().count() != 1 {
        return Err(format!(
            "{} is not one line with a public SSH key; make one: ssh-keygen -t ed25519",
            path.display()
        )
        .into());
    }
    let wrong = |problem| {
        format!("{} is no public SSH key: {problem}; make one: ssh-keygen -t ed25519", path.display())
    };
    Ok(checks::ssh_key(text.trim()).map_err(wrong)?)
}

/// A `trustnet.toml` in which the node will find no mistake but those of the base that it is for: its text, and what it asks
/// for.
fn read_config(path: &Path) -> Result<(String, settings::Settings), Failure> {
    let bytes = fs::read(path).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    let (settings, mistakes) = settings::parse(&bytes);
    if !mistakes.is_empty() {
        let listed = mistakes::report(&mistakes);
        return Err(format!("{} has mistakes; correct them:\n{}", path.display(), listed.trim_end()).into());
    }
    let text = String::from_utf8(bytes).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    Ok((text, settings))
}

/// What the card is to say, and what its owner should know of that.
fn read_settings(args: &BuildArgs, base: BaseKind) -> Result<(Settings, Vec<String>), Failure> {
    let ssh_key = args.ssh_key.as_deref().map(read_public_key).transpose()?;
    let config = args.config.as_deref().map(read_config).transpose()?;
    let asks = |what: fn(&settings::Settings) -> bool| config.as_ref().is_some_and(|(_, asked)| what(asked));
    let mut notes = Vec::new();
    if ssh_key.is_none() && !asks(|asked| !asked.ssh_keys.is_empty()) {
        notes.push(NOBODY.to_owned());
    }
    if base == BaseKind::Debian && asks(|asked| asked.wifi.is_some()) {
        notes.push(NO_WIFI.to_owned());
    }
    Ok((Settings { config: config.map(|(text, _)| text), ssh_key, ..Settings::default() }, notes))
}

/// Refuses a place that cannot be written to before minutes of work have gone into what is to lie there.
fn check_place(out: &Path) -> Result<(), Failure> {
    let folder = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let folder = folder.display();
        return Err(
            format!("there is no folder {folder} to write the image to; make it: mkdir -p {folder}").into()
        );
    }
    if out.is_dir() {
        return Err(
            format!("{0} is a folder; name a file in it: --out {0}/trustnet.img", out.display()).into()
        );
    }
    Ok(())
}

pub fn run(args: &BuildArgs) -> Result<(), Failure> {
    let screen = if args.json { Screen::quiet() } else { Screen::stderr() };
    check_place(&args.out)?;
    let sources = args.source.sources();
    let (settings, mut notes) = read_settings(args, sources.base)?;
    let inputs = Inputs::gather(&sources, &screen)?;
    let (image, _) = inputs.image(&settings)?;

    let name = args.out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = |ending: &str| args.out.with_file_name(format!("{name}{ending}"));
    let mut files = vec![(args.out.clone(), image.clone())];
    if !args.only_image {
        screen.note("compressing");
        let packed = outputs::compress(&image)?;
        let packed_name = format!("{name}.zst");
        let entry = outputs::imager_entry(&inputs.version, &packed_name, &image, &packed);
        let linked = crates::crates(&sources.repository);
        if let Err(why) = &linked {
            notes.push(format!(
                "{name}.sbom.json lacks the crates of the program: {why}. Build it again where `cargo tree --offline` works"
            ));
        }
        let sbom = outputs::sbom(&inputs.version, &inputs.base.parts, linked.ok().as_deref());
        let overlay = tar_gz(&inputs.overlay)?;
        let sums = [(&name, &image), (&packed_name, &packed)];
        let sums: String = sums.map(|(name, bytes)| format!("{}  {name}\n", sha256_hex(bytes))).concat();
        if let Some(key) = &args.sign {
            files.push((beside(".sha256.sig"), sign::sign(key, sums.as_bytes())?));
        }
        files.extend([
            (beside(".zst"), packed),
            (beside(".sha256"), sums.into_bytes()),
            (beside(".bmap"), outputs::block_map(&image).into_bytes()),
            (beside(".sbom.json"), serde_json::to_vec_pretty(&sbom)?),
            (beside(".imager.json"), serde_json::to_vec_pretty(&entry)?),
            (args.out.with_file_name("trustnet.apkovl.tar.gz"), overlay),
        ]);
    }
    write_files(&files)?;
    let sha256 = sha256_hex(&image);
    // Last, where they are seen.
    for note in &notes {
        screen.note(&format!("NOTE: {note}"));
    }
    if args.json {
        let files: Vec<_> =
            files.iter().map(|(path, bytes)| json!({ "file": path, "bytes": bytes.len() })).collect();
        say!(
            "{}",
            json!({ "base": inputs.base.name, "version": inputs.version, "sha256": sha256, "files": files, "notes": notes })
        );
    } else {
        say!("{} on {}", args.out.display(), inputs.base.name);
        for (path, bytes) in &files {
            say!("  {:>9}  {}", size(bytes.len()), path.display());
        }
        say!("  SHA-256 {sha256}\nnext: trustnet-image flash /dev/sdX --image {}", args.out.display());
    }
    Ok(())
}

/// Writes files; all before the first gets its name. What is half done is removed.
fn write_files(files: &[(PathBuf, Vec<u8>)]) -> Result<(), Failure> {
    let part = |path: &Path| {
        path.with_file_name(format!(".{}.part", path.file_name().unwrap_or_default().to_string_lossy()))
    };
    let written =
        files.iter().try_for_each(|(path, bytes)| fs::write(part(path), bytes).map_err(|why| (path, why)));
    let named = written.and_then(|()| {
        files.iter().try_for_each(|(path, _)| fs::rename(part(path), path).map_err(|why| (path, why)))
    });
    named.map_err(|(path, why)| {
        for (path, _) in files {
            // Most are not there any more, or not yet.
            let _ = fs::remove_file(part(path));
        }
        format!("cannot write {}: {why}", path.display()).into()
    })
}

/// A size for people.
fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

pub fn inspect(image: &Path, json: bool) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().read(true).open(image);
    let mut file = file.map_err(|why| format!("cannot open {}: {why}", image.display()))?;
    let tree = fat::read_image(&mut file).map_err(|why| format!("{}: {why}", image.display()))?;
    let files = tree.iter().filter_map(|(path, entry)| match &entry.node {
        Node::File(content) => Some((path, content)),
        _ => None,
    });
    if json {
        let files: Vec<_> =
            files.map(|(path, content)| json!({ "path": path, "bytes": content.len(), "sha256": sha256_hex(content) })).collect();
        say!("{}", json!({ "files": files }));
        return Ok(());
    }
    for (path, content) in files {
        say!("{:>9}  {}  {path}", size(content.len()), &sha256_hex(content)[..16]);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_named_and_nothing_half_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let places = ["a", "b", "c"].map(|name| dir.path().join(name));
        let files = places.clone().map(|path| (path, b"new".to_vec()));
        write_files(&files).unwrap();
        fs::remove_file(&places[1]).unwrap();
        fs::create_dir(&places[1]).unwrap();
        let error = write_files(&files).unwrap_err().to_string();
        assert!(error.contains(&*places[1].to_string_lossy()), "{error}");
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a", "b", "c"]);
    }

    /// The public half of an ed25519 key, and of one that lives in a token.
    const KEYS: [&str; 2] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0RFUTXYTm5GVfkQHjjRGAbNaA3yNKAMmBr4hlsSEgP me@laptop",
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIE0RFUTXYTm5GVfkQHjjRGAbNaA3yNKAMmBr4hlsSEgPAAAABHNzaDo= me@token",
    ];

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn the_keys_that_the_node_takes_are_taken_and_no_others() {
        for key in KEYS {
            assert_eq!(read_public_key(file(&format!("{key}\n")).path()).unwrap(), key);
        }
        let both = KEYS.join("\n");
        let refused =
            ["", "ssh-ed25519", "ssh-ed25519 garbage", "ssh-dss AAAA", "hello", &both, &KEYS[0][..60]];
        for text in refused {
            let file = file(text);
            let error = read_public_key(file.path()).unwrap_err().to_string();
            assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
            assert!(error.contains("ssh-keygen -t ed25519"), "{error}");
        }
        let private = read_public_key(file("-----BEGIN OPENSSH PRIVATE KEY-----\n").path()).unwrap_err();
        assert!(private.to_string().contains("ends in .pub"), "{private}");
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        build: BuildArgs,
    }

    #[test]
    fn an_image_into_which_nobody_can_log_in_is_known() {
        let notes = |option: &str, content: &str, base| {
            let file = file(content);
            let line = Line::parse_from(["build", option, &file.path().to_string_lossy()]);
            read_settings(&line.build, base).unwrap().1
        };
        let (alpine, debian) = (BaseKind::Alpine, BaseKind::Debian);
        assert_eq!(read_settings(&Line::parse_from(["build"]).build, alpine).unwrap().1, [NOBODY]);
        assert_eq!(notes("--config", "hostname = \"kitchen\"\n", debian), [NOBODY]);
        let keys = format!("[ssh]\nkeys = [\"{}\"]\n", KEYS[0]);
        assert!(notes("--config", &keys, debian).is_empty());
        assert!(notes("--ssh-key", KEYS[0], debian).is_empty());
        let wifi = format!("{keys}[wifi]\nssid = \"x\"\n");
        assert!(notes("--config", &wifi, alpine).is_empty());
        assert_eq!(notes("--config", &wifi, debian), [NO_WIFI]);
    }

    #[test]
    fn a_mistake_in_the_settings_is_found_before_the_card_is_made() {
        let (text, asked) = read_config(file("hostname = \"kitchen\"\n").path()).unwrap();
        assert_eq!((text.as_str(), asked.ssh_keys.len()), ("hostname = \"kitchen\"\n", 0));
        let keys = format!("[ssh]\nkeys = [\"{}\"]\n", KEYS[0]);
        assert_eq!(read_config(file(&keys).path()).unwrap().1.ssh_keys.len(), 1);
        let typo = read_config(file("\nhostnme = \"kitchen\"\n").path()).unwrap_err().to_string();
        assert!(typo.contains("has mistakes; correct them:\ntrustnet.toml:2:1: "), "{typo}");
        assert!(read_config(file(&keys.replace("ssh-ed25519", "ssh-dss")).path()).is_err());
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_place(&dir.path().join("trustnet.img")).is_ok());
        assert!(check_place(Path::new("trustnet.img")).is_ok());
        let missing = check_place(&dir.path().join("none/trustnet.img")).unwrap_err().to_string();
        assert!(missing.contains("mkdir -p"), "{missing}");
        let folder = check_place(dir.path()).unwrap_err().to_string();
        assert!(folder.contains("is a folder; name a file in it"), "{folder}");
    }
}
