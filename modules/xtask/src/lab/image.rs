//! The node image, in two layers: Debian (slow, made again only when its recipe changes) and over it units,
//! configuration and the emulator (quick). Each is tagged with the hash of what went in.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::docker::{self, docker};
use super::layout;
use super::say;
use crate::command::Cmd;
use crate::project::Project;
use crate::tool;
use crate::tree::{self, Tree};

const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const RECIPE: &str = "molecule/lab/image";

/// Arguments of mmdebstrap besides packages, suite, output and mirror: part of the base layer's hash.
const BASE_ARGS: &[&str] = &[
    "--variant=minbase",
    "--architectures=amd64",
    "--aptopt=APT::Install-Recommends \"false\"",
    "--aptopt=Acquire::Languages \"none\"",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// The layer that labs share.
const BASE: &str = "sddc-pve-base";

/// How the machine's apt reaches its mirror must not stay in the image.
const FORGET: &str = "--customize-hook=rm -f \"$1\"/etc/apt/apt.conf.d/99mmdebstrap \"$1\"/etc/apt/sources.list \
                      \"$1\"/etc/apt/sources.list.d/*";

/// Builds what is missing and removes what is outdated. Returns the image's name.
pub fn build(project: &Project, emulator: Option<&Path>) -> Result<String> {
    let emulator = match emulator {
        Some(path) => path.to_owned(),
        None => build_emulator(project)?,
    };
    let recipe = project.path(RECIPE);
    let packages = packages(&recipe)?;
    let base = format!("{BASE}:{}", base_hash(&packages));
    let context = project.lab().join("context");
    fs::create_dir_all(project.lab())?;
    let environment = project.lab().join("lab.env");
    fs::write(&environment, layout::environment())?;
    let mut tree = assemble(&recipe, &emulator)?;
    tree.put_file("usr/lib/pve-lab/lab.env", &environment)?;
    tree.place(&context)?;
    let image = format!("{}node:{}", layout::prefix(), image_hash(&base, &recipe, &context)?);
    if !docker::exists("image", &image) {
        if !docker::exists("image", &base) {
            build_base(project, &base, &packages)?;
        }
        build_top(&image, &base, &recipe, &context)?;
    }
    fs::remove_dir_all(&context)?;
    remove_outdated(&[&base, &image])?;
    Ok(image)
}

fn build_emulator(project: &Project) -> Result<PathBuf> {
    say("building the emulator pve-lab");
    Cmd::cargo()
        .args(["build", "--quiet", "--release", "--locked", "--package", "pve-lab"])
        .dir(project.root())
        .run()?;
    Ok(project.cargo_target().join("release/pve-lab"))
}

fn packages(recipe: &Path) -> Result<Vec<String>> {
    let file = recipe.join("packages.txt");
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    let named = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(named.map(str::to_owned).collect())
}

fn base_hash(packages: &[String]) -> String {
    let mut hash = Sha256::new();
    for word in BASE_ARGS.iter().copied().chain([SUITE, FORGET]).chain(packages.iter().map(String::as_str)) {
        hash.update(word);
        hash.update([0]);
    }
    short(hash)
}

/// What goes to the root of the image: the recipe's rootfs, the emulator, and what the set-up reads.
fn assemble(recipe: &Path, emulator: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.put_directory(Path::new(""), &recipe.join("rootfs"))?;
    tree.put_file("usr/lib/pve-lab/pve-lab", emulator)?;
    for file in ["setup.sh", "links.txt", "pve-packages.txt"] {
        tree.put_file(Path::new("usr/lib/pve-lab/image").join(file), &recipe.join(file))?;
    }
    Ok(tree)
}

fn image_hash(base: &str, recipe: &Path, context: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(base);
    hash.update(fs::read(recipe.join("Dockerfile"))?);
    for file in tree::list(context)? {
        let mode = fs::symlink_metadata(&file)?.mode();
        let relative = file.strip_prefix(context).expect("list returns paths below its argument");
        hash.update(format!("{} {mode:o}\0", relative.display()));
        hash.update(Sha256::digest(fs::read(&file)?));
    }
    Ok(short(hash))
}

fn short(hash: Sha256) -> String {
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn build_base(project: &Project, base: &str, packages: &[String]) -> Result<()> {
    tool::need("mmdebstrap", "mmdebstrap")?;
    tool::or_install("Debian's keyring", "debian-archive-keyring", || Path::new(KEYRING).is_file())?;
    let mirror = mirror()?;
    say(&format!("making the base layer {base}: Debian {SUITE} from the mirror of this machine's apt"));
    let (tar, options) = (project.lab().join("base.tar"), project.lab().join("apt.conf"));
    fs::write(&options, apt_options()?)?;
    Cmd::new("mmdebstrap")
        .args(["--quiet", &format!("--keyring={KEYRING}"), FORGET])
        .args(BASE_ARGS)
        .arg(format!("--aptopt={}", options.display()))
        .arg(format!("--include={}", packages.join(",")))
        .arg(SUITE)
        .arg(&tar)
        .arg(&mirror)
        .run()?;
    docker(["import", "--change", "ENV container=docker", "--change", "CMD [\"/sbin/init\"]"])
        .arg(&tar)
        .arg(base)
        .read()?;
    fs::remove_file(&tar)?;
    fs::remove_file(&options)?;
    Ok(())
}

fn build_top(image: &str, base: &str, recipe: &Path, context: &Path) -> Result<()> {
    say(&format!("making the image {image}"));
    // The classic builder: it needs no plugin, and the engine of Debian 12 has no other.
    docker(["build", "--quiet", "--force-rm", "--network", "none", "--tag", image])
        .arg(format!("--build-arg=BASE={base}"))
        .arg("--file")
        .arg(recipe.join("Dockerfile"))
        .arg(context)
        .env("DOCKER_BUILDKIT", "0")
        .read()?;
    Ok(())
}

/// Removes older images; those that a container still uses stay until it is gone.
fn remove_outdated(current: &[&str]) -> Result<()> {
    let in_use = docker::containers()?;
    let is_used = |image: &String| in_use.iter().any(|container| container.image == *image);
    for image in docker::images()?.iter().filter(|image| !current.contains(&image.as_str())) {
        // The base layer of an image in use refuses too: it goes the next time.
        if !is_used(image) && docker(["rmi", image]).succeeds() {
            say(&format!("removed the outdated image {image}"));
        }
    }
    Ok(())
}

/// The Debian mirror that this machine's apt uses, or the variable SDDC_LAB_MIRROR.
fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var("SDDC_LAB_MIRROR") {
        return Ok(mirror);
    }
    let format = "$(CREATED_BY) $(CODENAME) $(COMPONENT) $(SITE)";
    let targets = Cmd::new("apt-get").args(["indextargets", "--format", format]).read()?;
    match debian_site(&targets) {
        Some(site) => Ok(site),
        None => bail!("apt on this machine knows no Debian mirror: name one in the variable SDDC_LAB_MIRROR"),
    }
}

/// The site of a plain release: `-security` and `-updates` hold parts only.
fn debian_site(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        ["Packages", codename, "main", site] if !codename.contains('-') && site.contains("debian") => {
            Some(site.to_owned())
        }
        _ => None,
    })
}

/// How this machine's apt reaches its mirror: proxy, certificates, checks of dates.
fn apt_options() -> Result<String> {
    let dump = Cmd::new("apt-config").arg("dump").read()?;
    let wanted = |line: &&str| {
        let key = line.to_ascii_lowercase();
        ["acquire::http", "acquire::check-"].iter().any(|start| key.starts_with(start))
    };
    Ok(dump.lines().filter(wanted).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_a_plain_debian_release() {
        let targets = "Packages bookworm-security main http://m.example/debian-security\n\
                       Packages cloud main http://m.example/cloud\n\
                       DEP-11 bookworm main http://m.example/no\n\
                       Packages bookworm main http://m.example/debian\n";
        assert_eq!(debian_site(targets).as_deref(), Some("http://m.example/debian"));
        assert_eq!(debian_site("Packages noble main http://m.example/ubuntu\n"), None);
    }

    #[test]
    fn a_changed_package_list_is_another_base_layer() {
        let one = base_hash(&["chrony".to_owned()]);
        assert_eq!(one, base_hash(&["chrony".to_owned()]));
        assert_ne!(one, base_hash(&["corosync".to_owned()]));
    }
}
