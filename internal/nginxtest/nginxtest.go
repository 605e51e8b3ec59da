// Package nginxtest runs a real nginx for one test, on free loopback ports and
// in a temporary folder, until the test ends.
package nginxtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Host is the host of the certificate, and that of the nginx in the docs.
const Host = "m.example.com"

// A Server is a running nginx.
type Server struct {
	HTTP, HTTPS string // its addresses
	Certificate string // the file of its certificate, which no one else has signed
	roots       *x509.CertPool
}

// Start runs nginx with the servers of a configuration as in the docs: they
// listen on 80 and on 443, and pass requests to 127.0.0.1:8080. Here, these are
// two free ports and the upstream address.
//
// Without an nginx on the machine, Start fails the test: it is never skipped.
func Start(t *testing.T, servers, upstream string) *Server {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // which is not in every user's PATH
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("nginxtest: nginx is not installed (Debian and Ubuntu: apt-get install nginx, macOS: brew install nginx)")
	}
	dir := t.TempDir()
	s := &Server{Certificate: filepath.Join(dir, "cert.pem")}
	s.roots = writeCertificate(t, s.Certificate, filepath.Join(dir, "key.pem"))
	plain, plainFile := listen(t)
	secure, secureFile := listen(t)
	s.HTTP, s.HTTPS = plain, secure

	servers = strings.NewReplacer("listen 443 ssl;", "listen "+secure+" ssl;", "listen 80;", "listen "+plain+";", "127.0.0.1:8080", upstream).Replace(servers)
	config := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(config, []byte(fmt.Sprintf(whole, dir, servers)), 0o600))

	// nginx takes over sockets that are open already, so no other process can get
	// the ports, and connections wait until nginx is ready.
	var log bytes.Buffer
	cmd := exec.Command(program, "-p", dir, "-c", config)
	cmd.Env = append(os.Environ(), "NGINX=3;4;")
	cmd.ExtraFiles = []*os.File{plainFile, secureFile}
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = endWithParent()
	require.NoError(t, cmd.Start())
	plainFile.Close()
	secureFile.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.String())
		}
	})
	return s
}

// whole is the configuration around the servers. SIGTERM ends the process and
// its worker. Without the user root, which counts only for root, the worker
// could not read the folder of the test.
const whole = `daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	proxy_cache_path %[1]s/cache keys_zone=cache:1m;
	ssl_certificate cert.pem;
	ssl_certificate_key key.pem;
%[2]s
}
`

// listen opens a socket on a free port.
func listen(t *testing.T) (addr string, file *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	file, err = l.(*net.TCPListener).File()
	require.NoError(t, err)
	conn, err := file.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, conn.Control(func(fd uintptr) { err = syscall.SetNonblock(int(fd), true) })) // File has unset it
	require.NoError(t, err)
	return l.Addr().String(), file
}

// Client returns a client for which the hosts are the server's, on the ports
// 80 and 443, and which trusts its certificate. Any other host is as usual.
func (s *Server) Client(t *testing.T, hosts ...string) *http.Client {
	addrs := map[string]string{}
	for _, host := range append(hosts, Host) {
		addrs[net.JoinHostPort(host, "80")], addrs[net.JoinHostPort(host, "443")] = s.HTTP, s.HTTPS
	}
	var d net.Dialer
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if own, ok := addrs[addr]; ok {
				addr = own
			}
			return d.DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// writeCertificate writes a certificate for Host, its siblings and loopback
// addresses.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{Host, "*.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(certFile, cert, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(cert))
	return roots
}
