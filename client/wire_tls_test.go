package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWire_TLSFaults(t *testing.T) {
	ca := newTestCA(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	now := time.Now()
	serve := func(config *tls.Config) func(*rawConn) {
		return func(c *rawConn) {
			conn := tls.Server(c.Conn, config)
			if conn.Handshake() != nil {
				return
			}
			inner := newRawConn(c.peer, conn, c.nth)
			for inner.read() && inner.respond(wireGood) {
			}
		}
	}
	with := func(cert tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	valid := ca.issue(t, "localhost", now.Add(-time.Hour), now.Add(time.Hour))
	old := with(valid)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	twelve := with(valid)
	twelve.MaxVersion = tls.VersionTLS12
	for _, row := range []struct {
		name    string
		script  func(*rawConn)
		fine    bool
		timeout bool
	}{
		{name: "a good certificate", script: serve(with(valid)), fine: true},
		{name: "TLS 1.2", script: serve(twelve), fine: true},
		{name: "TLS 1.1", script: serve(old)},
		{name: "another host's certificate", script: serve(with(ca.issue(t, "other.example", now.Add(-time.Hour), now.Add(time.Hour))))},
		{name: "an expired certificate", script: serve(with(ca.issue(t, "localhost", now.Add(-2*time.Hour), now.Add(-time.Hour))))},
		{name: "a certificate not valid yet", script: serve(with(ca.issue(t, "localhost", now.Add(24*time.Hour), now.Add(48*time.Hour))))},
		{name: "an unknown authority", script: serve(with(newTestCA(t).issue(t, "localhost", now.Add(-time.Hour), now.Add(time.Hour))))},
		{name: "plain HTTP", script: func(c *rawConn) { c.write(okHeader("Content-Length: 2") + "{}") }},
		{name: "silence in the handshake", script: (*rawConn).hang, timeout: true},
		{name: "closed in the handshake", script: func(*rawConn) {}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newRawPeer(t, row.script)
			_, port, err := net.SplitHostPort(p.listener.Addr().String())
			require.NoError(t, err)
			opts := []Option{WithHTTPClient(&http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10},
			}})}
			if row.timeout {
				opts = append(opts, WithTimeout(shortTimeout))
			}
			c, _ := wireClient(t, "https://localhost:"+port, opts...)
			err = callOnWire(t, "Exchange", c)
			if row.fine {
				assert.NoError(t, err)
				assert.EqualValues(t, 1, p.sent())
				return
			}
			assert.Equal(t, KindRetry, kindOf(t, err))
			assert.Equal(t, row.timeout, isTimeout(err), "%v", err)
			assert.Zero(t, p.sent())
		})
		wire.faults.Add(1)
	}
}

// testCA issues certificates for one test.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA for tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &testCA{cert, key}
}

func (ca *testCA) issue(t *testing.T, host string, from, to time.Time) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: from, NotAfter: to, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &ca.key.PublicKey, ca.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.key}
}
