//! The lab as a whole: makes nodes, switches them, breaks them, takes them down. The interface that the demo and
//! the tests use. Knows nothing of what the nodes are used for.

mod reach;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::access::Access;
use super::docker::{self, Container, docker};
use super::layout::{DELAYS_FILE, LINKS, Link, Node, SHARED_MOUNT, prefix};
use super::{cable, check_emulator, image, ipv6, limits, ready, say};
use crate::project::Project;
use crate::tool;

/// What a node may take to boot and to start its services, on a machine that has much else to do.
const BOOT: Duration = Duration::from_secs(300);
/// What a container is given beside Docker's defaults. Not privileged, no raised limits: small virtual machines
/// refuse both. SYS_ADMIN and the device are for FUSE and systemd, the others for corosync.
const RIGHTS: &[&str] = &[
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    "--cap-add=SYS_NICE",
    "--cap-add=IPC_LOCK",
    "--cap-add=SYS_PTRACE",
    "--device=/dev/fuse",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=private",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp:exec,mode=1777",
    // systemd's word for: shut down and switch off.
    "--stop-signal=SIGRTMIN+3",
];

/// One of this machine's labs: `layout` tells which.
pub struct Lab<'a> {
    project: &'a Project,
    access: Access,
    /// An emulator to put into the image in place of building one.
    pub emulator: Option<PathBuf>,
    /// Whether programs are run on nodes by way of their namespaces, which is quicker.
    pub is_entered: bool,
}

impl<'a> Lab<'a> {
    /// The lab, whatever runs of it. Needs Docker and ssh.
    pub fn open(project: &'a Project) -> Result<Lab<'a>> {
        tool::docker()?;
        Ok(Lab { project, access: Access::prepare(project)?, emulator: None, is_entered: false })
    }

    /// The nodes that there are, running or not.
    pub fn nodes() -> Result<Vec<Node>> {
        let mut nodes: Vec<Node> =
            docker::containers()?.iter().filter_map(|found| Node::of_container(&found.name)).collect();
        nodes.sort();
        Ok(nodes)
    }

    /// So many nodes, all ready. What runs already is left as it is.
    pub fn up(&self, count: u8) -> Result<()> {
        if !(1..=99).contains(&count) {
            bail!("a lab has 1 to 99 nodes, not {count}");
        }
        let image = self.build_image()?;
        let there = docker::containers()?;
        self.check_ours(&there)?;
        let state =
            |node: &Node| there.iter().find(|found| found.name == node.container()).map(|f| &*f.state);
        let nodes = Node::first(count);
        let missing: Vec<Node> = nodes.iter().copied().filter(|node| state(node).is_none()).collect();
        let mut booting = missing.clone();
        for node in nodes.iter().copied().filter(|node| !missing.contains(node)) {
            if state(&node) == Some("running") {
                self.heal(node, None)?;
            } else {
                say(&format!("starting {node}"));
                docker(["start", &node.container()]).read()?;
                booting.push(node);
            }
        }
        for old in there.iter().filter(|found| found.image != image) {
            say(&format!("{} was made of an older image: `cargo xtask lab reset` renews it", old.name));
        }
        self.make(&missing, &image)?;
        self.until_booted(&booting)?;
        self.until_reachable(&nodes)
    }

    /// More nodes beside those that there are.
    pub fn add(&self, nodes: &[Node]) -> Result<()> {
        let there = Lab::nodes()?;
        if let Some(node) = nodes.iter().find(|node| there.contains(node)) {
            bail!("{node} is there already: `cargo xtask lab reset {node}` makes it anew");
        }
        self.make(nodes, &self.image()?)?;
        self.until_booted(nodes)?;
        self.until_reachable(nodes)
    }

    /// Makes nodes anew: freshly installed, with another identity.
    pub fn reset(&self, nodes: &[Node]) -> Result<()> {
        if nodes.is_empty() {
            bail!("there is no node to reset: run `cargo xtask lab up`");
        }
        let image = self.image()?;
        self.remove(nodes)?;
        if Lab::nodes()?.is_empty() {
            // Nobody is left who could need what former clusters kept there.
            docker(["volume", "rm", "--force", &shared_volume()]).read()?;
        }
        self.make(nodes, &image)?;
        self.until_booted(nodes)?;
        self.until_reachable(nodes)
    }

    /// Removes everything that the lab made, at last the images when told so.
    pub fn down(&self, with_images: bool) -> Result<()> {
        let nodes = Lab::nodes()?;
        if !nodes.is_empty() {
            self.remove(&nodes)?;
        }
        for name in docker::names("network")? {
            docker::remove_network(&name)?;
        }
        for name in docker::names("volume")? {
            docker(["volume", "rm", &name]).read()?;
        }
        if with_images {
            for image in docker::images()? {
                let is_gone = docker(["rmi", &image]).succeeds();
                say(&format!(
                    "{} the image {image}",
                    if is_gone { "removed" } else { "something else uses" }
                ));
            }
        }
        let _ = fs::remove_file(self.delays_choice());
        self.access.forget(&nodes)
    }

    /// Switches a node on and waits until it serves: its services may still wait for a quorum.
    pub fn start(&self, node: Node) -> Result<()> {
        say(&format!("starting {node}"));
        docker(["start", &node.container()]).read()?;
        ready::listening(node, 22, BOOT)?;
        ready::wait(&format!("pve-cluster is active on {node}"), BOOT, || {
            let said = self.exec(node, &["systemctl", "is-active", "pve-cluster"])?;
            let state = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            Ok(if state == "active" { Ok(()) } else { Err(state) })
        })
    }

    /// Shuts a node down.
    pub fn stop(&self, node: Node) -> Result<()> {
        say(&format!("shutting {node} down"));
        docker(["stop", "--time", "60", &node.container()]).read()?;
        self.access.close_connections(node)
    }

    /// Takes the power away from a node.
    pub fn kill(&self, node: Node) -> Result<()> {
        say(&format!("taking the power away from {node}"));
        docker(["kill", &node.container()]).read()?;
        self.access.close_connections(node)
    }

    /// Ends the ssh connections that Ansible keeps open to a node.
    pub fn hang_up(&self, node: Node) -> Result<()> {
        self.access.close_connections(node)
    }

    /// Unplugs a link of a node, or all.
    pub fn cut(&self, node: Node, link: Option<Link>) -> Result<()> {
        plug(node, link, false)
    }

    /// Plugs a link of a node in again, or all.
    pub fn heal(&self, node: Node, link: Option<Link>) -> Result<()> {
        plug(node, link, true)
    }

    /// Gives a node an IPv6 address on each link; returns them.
    pub fn add_ipv6(&self, node: Node) -> Result<Vec<String>> {
        LINKS.into_iter().map(|link| ipv6::add(node, link)).collect()
    }

    /// Builds the image if its inputs changed, and remembers it for nodes made later.
    fn build_image(&self) -> Result<String> {
        if let Some(emulator) = &self.emulator {
            check_emulator(emulator)?;
        }
        let image = image::build(self.project, self.emulator.as_deref())?;
        fs::write(self.image_choice(), &image)?;
        Ok(image)
    }

    /// The image of the last `up`: a reset is quick and does not depend on a source tree in the middle of a change.
    fn image(&self) -> Result<String> {
        match fs::read_to_string(self.image_choice()) {
            Ok(image) if self.emulator.is_none() && docker::exists("image", &image) => Ok(image),
            _ => self.build_image(),
        }
    }

    /// There is one lab on a machine: another checkout's nodes let only its own key in.
    fn check_ours(&self, there: &[Container]) -> Result<()> {
        let key = self.access.public_key()?;
        match there
            .iter()
            .find(|container| Node::of_container(&container.name).is_some() && container.key != key)
        {
            Some(foreign) => bail!(
                "{} was made by another checkout and does not let this one in: `cargo xtask lab down` removes it",
                foreign.name
            ),
            None => Ok(()),
        }
    }

    fn image_choice(&self) -> PathBuf {
        self.project.lab().join("image")
    }

    /// Where the choice of delays for nodes made later is kept.
    pub(super) fn delays_choice(&self) -> PathBuf {
        self.project.lab().join("delays")
    }

    fn make(&self, nodes: &[Node], image: &str) -> Result<()> {
        if nodes.is_empty() {
            return Ok(());
        }
        limits::raise(Lab::nodes()?.len() + nodes.len())?;
        for link in LINKS {
            make_network(link)?;
        }
        docker(["volume", "create", &shared_volume()]).read()?;
        say(&format!("making {}", listed(nodes)));
        each(nodes, |node| self.make_node(node, image))
    }

    fn make_node(&self, node: Node, image: &str) -> Result<()> {
        let container = node.container();
        docker(["create", "--name", &container, "--hostname", &node.name()])
            .args(RIGHTS)
            .arg(format!("--label={}={}", docker::KEY_LABEL, self.access.public_key()?))
            .arg(format!("--mount=type=volume,source={},target={SHARED_MOUNT}", shared_volume()))
            .args(["--network", &LINKS[0].network(), "--ip", &node.address(LINKS[0]), image])
            .read()?;
        for link in &LINKS[1..] {
            docker(["network", "connect", "--ip", &node.address(*link), &link.network(), &container])
                .read()?;
        }
        self.copy_in(node, self.access.authorized_keys(), "/root/.ssh/authorized_keys")?;
        if fs::read_to_string(self.delays_choice()).is_ok_and(|choice| !choice.is_empty()) {
            self.copy_in(node, self.delays_choice(), DELAYS_FILE)?;
        }
        docker(["start", &container]).read().map(drop)
    }

    fn remove(&self, nodes: &[Node]) -> Result<()> {
        let containers: Vec<String> = nodes.iter().map(|node| node.container()).collect();
        say(&format!("removing {}", listed(nodes)));
        for node in nodes {
            self.access.close_connections(*node)?;
        }
        docker(["rm", "--force", "--volumes"]).args(containers).read()?;
        docker::names("network")?.iter().try_for_each(|network| docker::let_go(network))
    }

    fn until_booted(&self, nodes: &[Node]) -> Result<()> {
        if !nodes.is_empty() {
            say(&format!("waiting until {} booted", listed(nodes)));
        }
        each(nodes, |node| ready::running(node, BOOT))
    }

    fn until_reachable(&self, nodes: &[Node]) -> Result<()> {
        self.access.write(&Lab::nodes()?)?;
        each(nodes, |node| {
            ready::reachable(&self.access, node, BOOT)?;
            ready::listening(node, 8006, BOOT)
        })
    }
}

fn plug(node: Node, link: Option<Link>, is_plugged: bool) -> Result<()> {
    for link in LINKS.into_iter().filter(|one| link.is_none_or(|wanted| wanted == *one)) {
        if cable::set(node, link, is_plugged)? {
            let verb = if is_plugged { "plugged" } else { "unplugged" };
            say(&format!("{verb} link {} of {node}", link.0));
        }
    }
    Ok(())
}

fn make_network(link: Link) -> Result<()> {
    if docker::exists("network", &link.network()) {
        return Ok(());
    }
    // Without masquerading the nodes have a way out, as hosts have, that leads nowhere: nothing can be fetched.
    docker(["network", "create", "--opt=com.docker.network.bridge.enable_ip_masquerade=false"])
        .arg(format!("--opt=com.docker.network.bridge.name={}", link.bridge()))
        .args(["--subnet", &link.subnet(), "--gateway", &link.gateway(), &link.network()])
        .read()
        .map(drop)
        .with_context(|| {
            format!("the lab needs {}: remove what else uses it (docker network ls, ip route)", link.subnet())
        })
}

fn shared_volume() -> String {
    format!("{}shared", prefix())
}

fn listed(nodes: &[Node]) -> String {
    nodes.iter().map(|node| node.name()).collect::<Vec<_>>().join(" ")
}

/// The same for all nodes at once; the first error, after all have ended.
fn each(nodes: &[Node], work: impl Fn(Node) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let running: Vec<_> = nodes.iter().map(|node| scope.spawn(|| work(*node))).collect();
        let results: Vec<Result<()>> =
            running.into_iter().map(|one| one.join().expect("a worker does not panic")).collect();
        results.into_iter().collect()
    })
}
