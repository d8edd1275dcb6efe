module github.com/ndmon/ndmon/deploy

go 1.26
