.PHONY: proto proto-check proto-lint proto-breaking

proto: ## Format proto/ and generate the Go code
	tools/proto/generate.sh write

proto-check: ## Fail unless proto/ is formatted, linted and its generated code current
	tools/proto/generate.sh check

proto-lint: ## Lint proto/
	tools/proto/generate.sh lint

proto-breaking: ## Compare proto/ with a git ref (REF, default main)
	tools/proto/generate.sh breaking $(REF)
