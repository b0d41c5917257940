package localnet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// setting is one value of a TOML file. Section is empty for top-level keys.
type setting struct {
	section, key string
	value        any
}

// editTOML replaces values in a TOML file and leaves everything else, also
// comments, as it is. A key that the file has not got is an error: it has been
// renamed, and silently adding it would change nothing.
func editTOML(path string, settings []setting) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := applyTOML(string(data), settings)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o600) //nolint:gosec // below the directory that the user names
}

func applyTOML(text string, settings []setting) (string, error) {
	pending := make(map[[2]string]string, len(settings))
	for _, s := range settings {
		value, err := tomlValue(s.value)
		if err != nil {
			return "", fmt.Errorf("%s.%s: %w", s.section, s.key, err)
		}
		pending[[2]string{s.section, s.key}] = value
	}
	lines := strings.Split(text, "\n")
	section := ""
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]") {
			section = strings.Trim(trimmed, "[]")
			continue
		}
		key, _, ok := strings.Cut(trimmed, "=")
		if !ok || strings.HasPrefix(trimmed, "#") {
			continue
		}
		at := [2]string{section, strings.TrimSpace(key)}
		if value, ok := pending[at]; ok {
			lines[i] = at[1] + " = " + value
			delete(pending, at)
		}
	}
	for at := range pending {
		return "", fmt.Errorf("no key %q in section [%s]", at[1], at[0])
	}
	return strings.Join(lines, "\n"), nil
}

func tomlValue(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v), nil
	case Duration:
		return strconv.Quote(v.String()), nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]", nil
	default:
		return "", fmt.Errorf("cannot write a %T", v)
	}
}
