//! For tests alone: a certificate factory, TLS servers, fault injection and a scratch endpoint.
