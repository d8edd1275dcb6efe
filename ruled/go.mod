module github.com/ndmon/ndmon/ruled

go 1.26
