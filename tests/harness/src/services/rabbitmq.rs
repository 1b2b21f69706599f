//! A private RabbitMQ node, with an Erlang port mapper of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ServiceError;
use super::guardian::Guardian;
use super::start::{
    free_port, private_directory, random_word, run, start_with_retry, wait_until_ready,
    write_private,
};

/// How long a start may take: Erlang is slow on a busy machine.
const START: Duration = Duration::from_secs(120);

/// Debian's directory of the server's own scripts. The wrappers in the search path
/// change to the user `rabbitmq` or refuse to run; these run as the calling user.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

/// A running broker without plugins. It refuses messages of more than 1 MiB.
#[derive(Debug)]
pub struct RabbitMq {
    // In this order: the broker ends before the port mapper that it is registered with.
    guardian: Guardian,
    _port_mapper: Guardian,
    node: Node,
}

/// Everything needed to reach and to administer a node. It is also a file in
/// the node's directory, so that other processes can administer it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    directory: PathBuf,
    name: String,
    port: u16,
    distribution_port: u16,
    control_port: u16,
    port_mapper_port: u16,
    user: String,
    password: String,
}

impl RabbitMq {
    /// Starts a new node.
    ///
    /// # Errors
    ///
    /// When RabbitMQ is not installed or does not start.
    pub fn start() -> Result<Self, ServiceError> {
        Self::start_with("")
    }

    /// Starts a new node with more lines in its `rabbitmq.conf`.
    ///
    /// # Errors
    ///
    /// When RabbitMQ is not installed or does not start, also because it does
    /// not understand a line.
    pub fn start_with(configuration: &str) -> Result<Self, ServiceError> {
        let server = Path::new(SCRIPTS).join("rabbitmq-server");
        if !server.exists() {
            return Err(ServiceError::NotInstalled {
                program: server.display().to_string(),
                package: "rabbitmq-server",
            });
        }
        start_with_retry(|| {
            let node = Node {
                name: format!("reconcile-{}@localhost", random_word(8)),
                port: free_port(),
                distribution_port: free_port(),
                control_port: free_port(),
                port_mapper_port: free_port(),
                user: "reconcile".to_owned(),
                password: random_word(20),
                directory: private_directory("rabbitmq"),
            };
            let mut command = Command::new(&server);
            node.set_environment(&mut command);
            let guardian = Guardian::new(
                Some(&node.directory),
                &node.directory.join("log"),
                "TERM",
                &command,
            )?;
            node.write_files(configuration)?;

            // The server would start one itself, as a daemon that outlives it.
            let mut port_mapper = Command::new("epmd");
            port_mapper.args([
                "-port",
                &node.port_mapper_port.to_string(),
                "-address",
                "127.0.0.1",
            ]);
            let port_mapper =
                Guardian::new(None, &node.directory.join("epmd.log"), "TERM", &port_mapper)?;
            port_mapper.start()?;
            wait_until_ready("epmd", &port_mapper, START, || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, node.port_mapper_port)).is_ok()
            })?;

            let broker = Self {
                guardian,
                _port_mapper: port_mapper,
                node,
            };
            broker.restart()?;
            Ok(broker)
        })
    }

    /// How to reach and administer the node, also from other processes.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// See [`Node::amqp_url`].
    #[must_use]
    pub fn amqp_url(&self) -> String {
        self.node.amqp_url()
    }

    /// The AMQP port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// See [`Node::ctl`].
    ///
    /// # Errors
    ///
    /// When the command fails.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, ServiceError> {
        self.node.ctl(arguments)
    }

    /// The process id; 0 while the broker is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guardian.pid()
    }

    fn wait_until_ready(&self) -> Result<(), ServiceError> {
        wait_until_ready("RabbitMQ", &self.guardian, START, || self.node.greets())
    }

    /// Closes all connections and listeners; the Erlang node stays.
    ///
    /// # Errors
    ///
    /// When `rabbitmqctl` fails.
    pub fn stop_app(&self) -> Result<(), ServiceError> {
        self.ctl(&["stop_app"]).map(drop)
    }

    /// Serves again after [`Self::stop_app`], with what was durable.
    ///
    /// # Errors
    ///
    /// When the broker does not become ready.
    pub fn start_app(&self) -> Result<(), ServiceError> {
        self.ctl(&["start_app"])?;
        self.wait_until_ready()
    }

    /// Kills the broker at once, as a crash would.
    ///
    /// # Errors
    ///
    /// When its guardian has ended.
    pub fn kill(&self) -> Result<(), ServiceError> {
        self.guardian.kill()
    }

    /// Starts the broker again after [`Self::kill`], and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub fn restart(&self) -> Result<(), ServiceError> {
        self.guardian.start()?;
        self.wait_until_ready()
    }
}

impl Node {
    /// A node that another process started, by its directory.
    ///
    /// # Errors
    ///
    /// When there is no such node.
    pub fn attach(directory: &Path) -> Result<Self, ServiceError> {
        let path = directory.join("node.json");
        let action = || format!("read {}", path.display());
        let text = std::fs::read(&path).map_err(ServiceError::system(action()))?;
        serde_json::from_slice(&text).map_err(|error| ServiceError::System {
            action: action(),
            source: error.into(),
        })
    }

    /// The directory of the node, for [`Self::attach`].
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A URL for the administrator and the default virtual host.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        format!(
            "amqp://{}:{}@127.0.0.1:{}/%2f",
            self.user, self.password, self.port
        )
    }

    /// Runs `rabbitmqctl` on this node and returns what it printed.
    ///
    /// # Errors
    ///
    /// When the command fails.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, ServiceError> {
        let mut command = Command::new(Path::new(SCRIPTS).join("rabbitmqctl"));
        self.set_environment(&mut command);
        run(command
            .args(["--quiet", "--node", &self.name])
            .args(arguments))
    }

    /// Creates a virtual host with all permissions for the administrator, and returns its URL.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub fn create_vhost(&self, name: &str) -> Result<String, ServiceError> {
        // One call and not two: each starts an Erlang node, which takes a second.
        self.ctl(&[
            "eval",
            &format!(
                "rabbit_vhost:add(<<\"{name}\">>, <<\"harness\">>), \
                 rabbit_auth_backend_internal:set_permissions(<<\"{}\">>, <<\"{name}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"harness\">>).",
                self.user
            ),
        ])?;
        Ok(format!(
            "amqp://{}:{}@127.0.0.1:{}/{name}",
            self.user, self.password, self.port
        ))
    }

    /// Removes a virtual host with everything in it.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub fn delete_vhost(&self, name: &str) -> Result<(), ServiceError> {
        self.ctl(&["delete_vhost", name]).map(drop)
    }

    fn write_files(&self, more: &str) -> Result<(), ServiceError> {
        let configuration = format!(
            "listeners.tcp.loopback = 127.0.0.1:{}\n\
             default_user = {}\n\
             default_pass = {}\n\
             disk_free_limit.absolute = 50MB\n\
             max_message_size = 1048576\n\
             log.console = true\n\
             log.console.level = info\n\
             log.file = false\n\
             {more}\n",
            self.port, self.user, self.password
        );
        let description = serde_json::to_vec(self).expect("plain data serialises");
        for (file, content) in [
            ("rabbitmq.conf", configuration.as_bytes()),
            ("enabled_plugins", b"[]."),
            ("rabbitmq-env.conf", b""),
            ("node.json", &description),
        ] {
            write_private(&self.directory.join(file), content)?;
        }
        Ok(())
    }

    fn set_environment(&self, command: &mut Command) {
        let inherited: Vec<_> = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_string_lossy().starts_with("RABBITMQ_"))
            .collect();
        for name in inherited {
            command.env_remove(name);
        }
        let loopback_only = "-kernel inet_dist_use_interface {127,0,0,1}";
        let path = |file: &str| self.directory.join(file);
        command
            .env("HOME", &self.directory)
            .env("ERL_EPMD_PORT", self.port_mapper_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_CTL_DIST_PORT_MIN", self.control_port.to_string())
            .env(
                "RABBITMQ_CTL_DIST_PORT_MAX",
                (self.control_port + 20).to_string(),
            )
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback_only)
            .env("RABBITMQ_CTL_ERL_ARGS", loopback_only)
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config"))
            .env("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOG_BASE", path("logs"))
            .env("RABBITMQ_PID_FILE", path("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", path("generated"));
    }

    /// Whether the broker answers a client's protocol header. It listens last of all.
    fn greets(&self) -> bool {
        let limit = Duration::from_secs(5);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let greet = || -> std::io::Result<u8> {
            let mut stream = TcpStream::connect_timeout(&address, limit)?;
            stream.set_read_timeout(Some(limit))?;
            stream.write_all(b"AMQP\x00\x00\x09\x01")?;
            let mut frame_type = [0];
            stream.read_exact(&mut frame_type)?;
            Ok(frame_type[0])
        };
        // A method frame (Connection.Start), not the "AMQP" of a refused version.
        greet().is_ok_and(|frame_type| frame_type == 1)
    }
}
