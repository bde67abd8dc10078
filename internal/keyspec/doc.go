// Package keyspec knows the KMS key specs: which usages and algorithms each has, how its material is made and checked,
// and what can be done with it. It is pure but for crypto/rand, from which new material, nonces, salts and blinding come: they have
// no other source, and nothing can be computed from them again.
//
// Material has one canonical form per spec, in which it is generated, imported, kept and handed out as the private half of
// a data key pair: raw bytes for symmetric and HMAC keys, PKCS #8 in DER for all others. Everything here is in the open;
// whoever calls keeps it wrapped and wipes what was unwrapped.
package keyspec
