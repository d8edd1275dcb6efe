module github.com/ndmon/ndmon/sensor

go 1.26
