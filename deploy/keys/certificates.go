package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// Names of files with certificates and their keys: in the directory of the keys the authority
// of a cluster, in that of each server its certificate, and a copy of the authority's.
const (
	caFile    = "ca.pem"
	caKeyFile = "ca.key"
	certFile  = "tls.pem"
	keyFile   = "tls.key"
)

// validity is that of the certificates: nothing renews them.
const validity = 20 * 365 * 24 * time.Hour

// authority signs the certificates of a cluster's servers.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	pem         []byte
}

// newAuthority makes an authority, and writes its certificate and key into a directory.
func newAuthority(dir string) (authority, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ndmon cluster"},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	ca := authority{certificate: template}
	return ca.sign(template, filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile))
}

// issue writes a certificate for a server, its key, and the authority's certificate into a
// directory. The certificate also holds for programs on the server itself.
func (a authority) issue(dir, host string) error {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: host},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else {
		template.DNSNames = append(template.DNSNames, host)
	}
	_, err := a.sign(template, filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	return errors.Join(err, create(filepath.Join(dir, caFile), a.pem))
}

// sign makes a key, signs a certificate of it, which is its own if the authority has no key
// yet, and writes both to files.
func (a authority) sign(template *x509.Certificate, certPath, keyPath string) (signed authority, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signed, fmt.Errorf("make the key of a certificate: %w", err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	now := time.Now()
	// A clock that is an hour late accepts the certificate too.
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), signer)
	if err != nil {
		return signed, fmt.Errorf("make the certificate of %s: %w", template.Subject.CommonName, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return signed, fmt.Errorf("make the key of a certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return signed, fmt.Errorf("read the new certificate: %w", err)
	}
	signed = authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	return signed, errors.Join(create(certPath, signed.pem), create(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}
