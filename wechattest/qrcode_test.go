package wechattest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (m *qrMatrix) text() string {
	var b strings.Builder
	for _, row := range m.dark {
		for _, dark := range row {
			b.WriteByte(".#"[map[bool]int{true: 1}[dark]])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// The digest is of the same code made by an independent encoder.
func TestQRCode(t *testing.T) {
	m, ok := encodeQR("http://127.0.0.1:8081/connect/confirm?uuid=0123456789abcdef")
	require.True(t, ok)
	sum := sha256.Sum256([]byte(m.text()))
	require.Equal(t, "80de15f8ad652c7d69b96f7021174e67c072620405188f7368084410842f7c18", hex.EncodeToString(sum[:]), m.text())
}

func TestQRCode_TooLong(t *testing.T) {
	_, ok := encodeQR(strings.Repeat("a", qrCapacity))
	require.True(t, ok)
	_, ok = encodeQR(strings.Repeat("a", qrCapacity+1))
	require.False(t, ok)
}
