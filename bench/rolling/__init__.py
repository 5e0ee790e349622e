"""A cluster of three that is changed under load: certificates, authorities, plaintext to TLS."""
