module github.com/ndmon/ndmon/ruled

go 1.26.0

require (
	github.com/gaissmai/bart v0.30.0
	github.com/ndmon/ndmon/schemas v0.0.0
)

replace github.com/ndmon/ndmon/schemas => ../schemas
