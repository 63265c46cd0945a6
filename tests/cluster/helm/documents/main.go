// Prints each YAML document of the standard input as a line of JSON, as the API server would read it. A key that
// stands twice is refused: which of the two counts is nobody's to guess.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

func main() {
	reader := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	for number := 1; ; number++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			document, err = strict.YAMLToJSONStrict(document)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "document %d: %v\n", number, err)
			os.Exit(1)
		}
		if string(document) != "null" {
			fmt.Println(string(document))
		}
	}
}
