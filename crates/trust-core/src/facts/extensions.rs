//! What the extensions of a certificate say (RFC 5280 §4.2).

use std::net::IpAddr;

use x509_parser::asn1_rs::{Oid, Tag};
use x509_parser::extensions::{
    AuthorityKeyIdentifier, ExtendedKeyUsage as ParsedUsage, GeneralName, ParsedExtension, X509Extension,
};
use x509_parser::oid_registry;

use super::{
    AuthorityCertificate, BasicConstraints, CanonicalName, ExtendedKeyUsage, Facts, KeyUsage,
    NameConstraints, NetscapeType,
};

impl Facts {
    pub(super) fn take_in(&mut self, extension: &X509Extension<'_>) {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.into()),
            ParsedExtension::AuthorityKeyIdentifier(id) => self.take_in_authority(id),
            ParsedExtension::BasicConstraints(basic) => {
                self.basic_constraints =
                    Some(BasicConstraints { ca: basic.ca, path_length: basic.path_len_constraint });
            }
            ParsedExtension::KeyUsage(usage) => {
                self.key_usage = Some(KeyUsage {
                    digital_signature: usage.digital_signature(),
                    key_exchange: usage.key_encipherment() || usage.key_agreement(),
                    cert_sign: usage.key_cert_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(usage) => self.extended_key_usage = Some(purposes(usage)),
            ParsedExtension::SubjectAlternativeName(names) => self.take_in_names(&names.general_names),
            ParsedExtension::NameConstraints(constraints) => {
                let bases = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
                let bases = bases.into_iter().flatten().flatten().map(|subtree| {
                    matches!(subtree.base, GeneralName::DNSName(_) | GeneralName::IPAddress(_))
                });
                let (concern_hosts, concern_others) =
                    bases.fold((false, false), |(hosts, others), host| (hosts | host, others | !host));
                self.name_constraints = Some(NameConstraints { concern_hosts, concern_others });
            }
            ParsedExtension::NSCertType(netscape) => {
                self.netscape_type =
                    Some(NetscapeType { server: netscape.ssl_server(), ca: netscape.ssl_ca() });
            }
            ParsedExtension::ParseError { .. } => self.malformed_extensions |= is_decisive(extension),
            _ => {}
        }
        if extension.critical && !is_understood(extension) {
            self.unknown_critical.push(extension.oid.to_id_string().into());
        }
    }

    fn take_in_authority(&mut self, id: &AuthorityKeyIdentifier<'_>) {
        self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.into());
        let issuer = id.authority_cert_issuer.iter().flatten().find_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(CanonicalName::of(name)),
            _ => None,
        });
        let serial: Option<Box<[u8]>> = id.authority_cert_serial.map(Into::into);
        if issuer.is_some() || serial.is_some() {
            self.authority_certificate = Some(Box::new(AuthorityCertificate { issuer, serial }));
        }
    }

    fn take_in_names(&mut self, names: &[GeneralName<'_>]) {
        const DNS_NAME: u32 = 2;
        const IP_ADDRESS: u32 = 7;
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns_names.push((*name).into()),
                GeneralName::IPAddress(bytes) => self.ip_addresses.extend(ip_address(bytes)),
                GeneralName::Invalid(Tag(DNS_NAME | IP_ADDRESS), _) => {}
                _ => {
                    self.other_names = self.other_names.saturating_add(1);
                    continue;
                }
            }
            self.has_alternative_host = true;
        }
    }
}

/// The extensions that decide over trust: where one of these cannot be read, nothing can be said of the certificate.
fn is_decisive(extension: &X509Extension<'_>) -> bool {
    let decisive = [
        oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS,
        oid_registry::OID_X509_EXT_KEY_USAGE,
        oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE,
        oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
        oid_registry::OID_X509_EXT_NAME_CONSTRAINTS,
        oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
        oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
    ];
    extension.critical || decisive.contains(&extension.oid)
}

/// The extensions that may be critical: those that are looked at, and those of certificate policies, which are evaluated
/// only where somebody asks for a policy (§6.1.1 c). OpenSSL's list is the same as far as it concerns servers.
fn is_understood(extension: &X509Extension<'_>) -> bool {
    let policies = [
        oid_registry::OID_X509_EXT_CERTIFICATE_POLICIES,
        oid_registry::OID_X509_EXT_POLICY_MAPPINGS,
        oid_registry::OID_X509_EXT_POLICY_CONSTRAINTS,
        oid_registry::OID_X509_EXT_INHIBIT_ANY_POLICY,
        oid_registry::OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
        oid_registry::OID_X509_EXT_CERT_TYPE,
    ];
    policies.contains(&extension.oid)
        || matches!(
            extension.parsed_extension(),
            ParsedExtension::SubjectKeyIdentifier(_)
                | ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::NameConstraints(_)
        )
}

fn purposes(usage: &ParsedUsage<'_>) -> ExtendedKeyUsage {
    // Server Gated Cryptography, Netscape's and Microsoft's.
    const STEP_UP: [&str; 2] = ["2.16.840.1.113730.4.1", "1.3.6.1.4.1.311.10.3.3"];
    let named = [
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
        (usage.any, "any"),
    ];
    let others: Vec<String> = usage.other.iter().map(Oid::to_id_string).collect();
    let step_up = others.iter().any(|oid| STEP_UP.contains(&oid.as_str()));
    let names = named.iter().filter(|(is_named, _)| *is_named).map(|(_, name)| (*name).into());
    ExtendedKeyUsage {
        server_auth: usage.server_auth || step_up,
        any: usage.any,
        purposes: names.chain(others.into_iter().map(String::into_boxed_str)).collect(),
    }
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
