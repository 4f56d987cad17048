//! A shape: what a server presents, what the store holds, and what is to come of it.

use crate::kit::Cert;

pub(crate) struct Shape {
    pub(crate) name: String,
    /// The host name that is connected to.
    pub(crate) host: String,
    pub(crate) leaf: Cert,
    /// What the server sends after the leaf.
    pub(crate) sent: Vec<Cert>,
    pub(crate) anchors: Vec<Cert>,
    /// Further arguments of `openssl s_server`.
    pub(crate) server: &'static [&'static str],
    /// The code that our verdict, or our attempt to connect, has to have.
    pub(crate) code: &'static str,
    /// Why the verdict is another than curl's, where it is.
    pub(crate) differs: Option<&'static str>,
}

pub(crate) const HOST: &str = "server.example";

impl Shape {
    pub(crate) fn new(
        name: &str,
        leaf: &Cert,
        sent: &[&Cert],
        anchors: &[&Cert],
        code: &'static str,
    ) -> Self {
        let owned = |certs: &[&Cert]| certs.iter().map(|cert| (*cert).clone()).collect();
        Self {
            name: name.to_owned(),
            host: HOST.to_owned(),
            leaf: leaf.clone(),
            sent: owned(sent),
            anchors: owned(anchors),
            server: &[],
            code,
            differs: None,
        }
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn server(mut self, arguments: &'static [&'static str]) -> Self {
        self.server = arguments;
        self
    }

    pub(crate) fn differs(mut self, reason: &'static str) -> Self {
        self.differs = Some(reason);
        self
    }
}
